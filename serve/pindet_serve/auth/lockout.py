"""Slows down who guesses passwords."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

MOST = 50_000


@dataclass(slots=True)
class _Failures:
    count: int
    last: float
    locked_until: float


class Lockout:
    """Locks a key out once it has failed too often; each further failure doubles the time.

    Args:
        allowed: failures without consequence.
        first_s: seconds of the first lock.
        longest_s: no lock is longer.
        forget_s: without a failure for so long, everything is forgotten.
    """

    def __init__(self, allowed: int, first_s: float = 30.0, longest_s: float = 900.0, forget_s: float = 900.0) -> None:
        self._allowed, self._first, self._longest, self._forget = allowed, first_s, longest_s, forget_s
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def locked_for(self, key: str) -> float:
        """Seconds until the key may try again; 0 when it may now."""
        failures = self._failures.get(key)
        return max(0.0, failures.locked_until - time.monotonic()) if failures else 0.0

    def failed(self, key: str) -> None:
        """Note a failure."""
        now = time.monotonic()
        failures = self._failures.get(key)
        if failures is None or now - failures.last > self._forget:
            failures = self._failures[key] = _Failures(0, now, 0.0)
        failures.count, failures.last = failures.count + 1, now
        excess = failures.count - self._allowed
        if excess > 0:
            failures.locked_until = now + min(self._longest, self._first * 2.0 ** min(excess - 1, 30))
        self._failures.move_to_end(key)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)
