"""What was claimed lately in this process."""

from __future__ import annotations

import time
from collections import OrderedDict

MOST = 100_000


class Claims:
    """Remembers keys for a while; each can be claimed once."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def claim(self, key: str, seconds: float) -> bool:
        """Whether ``key`` was not claimed within its time before."""
        now = time.monotonic()
        while self._until and (len(self._until) >= MOST or next(iter(self._until.values())) < now):
            self._until.popitem(last=False)
        if self._until.get(key, 0.0) >= now:
            return False
        self._until[key] = now + seconds
        self._until.move_to_end(key)
        return True
