"""The bus of a single process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pindet_serve.status.bus import PING_SECONDS, Bus, State
from pindet_serve.status.claims import Claims
from pindet_serve.status.event import encode_body


class MemoryBus(Bus):
    """Carries events within this process; needs nothing else. See :class:`Bus`."""

    backend = "memory"

    def __init__(self, source: str, max_events: int = 4096, ping_seconds: float = PING_SECONDS) -> None:
        # Ids start at now, so that one from before a restart is known to be older.
        super().__init__(source, max_events, ping_seconds, floor=(time.time_ns() // 1_000_000, 0, 0))
        self._claims = Claims()

    @property
    def state(self) -> State:
        """Always up."""
        return "up"

    async def claim(self, key: str, seconds: float) -> bool:
        """Whether this is the first claim of ``key`` within ``seconds``."""
        return self._claims.claim(key, seconds)

    def _publish(self, type: str, data: Mapping[str, Any]) -> None:
        body = encode_body(type, time.time(), self.source, data)
        milliseconds, number, _ = self.hub.head
        position = max((time.time_ns() // 1_000_000, 0, 0), (milliseconds, number + 1, 0))
        self.hub.append(position, body)
