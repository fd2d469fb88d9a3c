"""Say on the status bus that a release changed. Servers that hear it need not wait for their next look."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Any

from pindet_serve.status.event import encode_body
from pindet_serve.status.redis_stream import publish_arguments

logger = logging.getLogger(__name__)
_KEPT_EVENTS = 4096
_ANSWER_WITHIN = 3.0


def announce(type: str, data: Mapping[str, Any]) -> bool:
    """Publish an event to the bus of ``REDIS_URL``; return whether it got there. A bus that is away is only logged."""
    from redis import Redis
    from redis.exceptions import RedisError

    body = encode_body(type, time.time(), f"promotion@{socket.gethostname()}", data)
    password = os.environ.get("REDIS_PASSWORD") or None
    try:
        limits = {"socket_timeout": _ANSWER_WITHIN, "socket_connect_timeout": _ANSWER_WITHIN}
        with Redis.from_url(os.environ["REDIS_URL"], password=password, **limits) as client:
            client.execute_command("EVAL", *publish_arguments(secrets.token_hex(8), 1, body, _KEPT_EVENTS))
    except (RedisError, OSError, ValueError) as error:
        logger.warning("the status bus was not told (%s); servers see the release when they look next", error)
        return False
    return True
