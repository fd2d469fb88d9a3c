"""Say on the status bus that a release changed. Servers that hear it need not wait for their next look."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from pindet_serve.status.publisher import open_publisher

logger = logging.getLogger(__name__)


def announce(type: str, data: Mapping[str, Any]) -> bool:
    """Publish an event to the bus of ``REDIS_URL``; return whether it got there. A bus that is away is only logged."""
    try:
        publisher = open_publisher(os.environ, f"promotion@{socket.gethostname()}")
    except ValueError as error:
        logger.warning("the status bus was not told (%s); servers see the release when they look next", error)
        return False
    publisher.publish(type, data)
    publisher.close()  # tries once more what did not get there
    if publisher.dropped:
        logger.warning("the status bus was not told; servers see the release when they look next")
    return not publisher.dropped
