"""The Hugging Face hub, which many machines can not reach: that is found out in seconds."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import constants

ANSWER_WITHIN = 5.0


class HubError(OSError):
    """Nothing answers at the hub's address, and its local cache does not hold what was asked for."""


@contextmanager
def within_reach() -> Iterator[None]:
    """Let the hub's client use its local cache alone where nothing answers at the hub's address within five seconds.

    The client itself would try for most of a minute, once for each file. Behind a proxy it is left to try.

    Raises:
        HubError: what was asked for inside is not in the cache.
    """
    away = "" if constants.HF_HUB_OFFLINE else _silence(constants.ENDPOINT)
    if not away:
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    except Exception as error:  # the client raises a dozen unrelated types
        raise HubError(f"{away}, and they are not in the local cache") from error
    finally:
        constants.HF_HUB_OFFLINE = False


def _silence(endpoint: str) -> str:
    """Why nothing is heard of the address, or nothing if something is."""
    address = urlsplit(endpoint)
    if address.scheme in urllib.request.getproxies():
        return ""
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=ANSWER_WITHIN).close()
    except OSError as error:
        return f"{endpoint} does not answer ({error.strerror or error})"
    return ""
