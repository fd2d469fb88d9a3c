"""Choosing the backend of the status bus."""

from __future__ import annotations

from pindet_serve.status.bus import PING_SECONDS, Bus
from pindet_serve.status.memory_bus import MemoryBus

MAX_EVENTS = 4096


def open_bus(
    redis_url: str | None,
    source: str,
    max_events: int = MAX_EVENTS,
    *,
    password: str | None = None,
    ping_seconds: float = PING_SECONDS,
) -> Bus:
    """The bus on Redis when there is a URL, else in memory.

    Raises:
        ValueError: a URL that is none of Redis, or one without the ``redis`` extra installed.
    """
    if not redis_url:
        return MemoryBus(source, max_events, ping_seconds)
    try:
        from pindet_serve.status.redis_bus import RedisBus
    except ModuleNotFoundError as error:
        raise ValueError(
            "REDIS_URL is set and the package redis is not installed; pip install 'pindet-serve[redis]'"
        ) from error
    return RedisBus(redis_url, source, max_events, password=password, ping_seconds=ping_seconds)
