"""Each replica's sign of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pindet_serve.status.bus import Bus

HEARTBEAT_SECONDS = 2.0
_log = logging.getLogger(__name__)


async def beat_forever(
    bus: Bus, facts: Callable[[], Mapping[str, Any]], seconds: float = HEARTBEAT_SECONDS
) -> None:
    """Publish ``heartbeat`` events until cancelled.

    Args:
        bus: where to.
        facts: throughput, p50, p95, queue, model: called for each heartbeat.
        seconds: from one to the next.
    """
    while True:
        try:
            await bus.publish("heartbeat", facts())
        except Exception:
            _log.exception("a heartbeat could not be published")
        await asyncio.sleep(seconds)
