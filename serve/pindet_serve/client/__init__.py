"""Asks a pindet server from Python: ``from pindet_serve.client import Client``."""

from pindet_serve.client.client import Client
from pindet_serve.client.errors import ClientError

__all__ = ["Client", "ClientError"]
