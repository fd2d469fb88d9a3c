"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Waits that grow from ``first`` by ``factor`` to ``longest`` seconds, each drawn between half of that and all.

    The jitter keeps a thousand clients of a server that returns from coming back in the same instant.
    """

    first: float = 0.25
    longest: float = 10.0
    factor: float = 2.0
    _tries: int = 0

    def next(self) -> float:
        """Seconds to wait now; the next wait will be longer."""
        # Past the point where it reaches the longest, the exponent would only overflow.
        wait = min(self.longest, self.first * self.factor ** min(self._tries, 60))
        self._tries += 1
        return wait * random.uniform(0.5, 1)

    def reset(self) -> None:
        """Begin with the shortest wait again."""
        self._tries = 0
