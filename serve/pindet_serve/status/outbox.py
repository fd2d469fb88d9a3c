"""What this process has published and Redis has not confirmed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MOST = 1000
FLEETING = ("heartbeat", "detection", "service.redis_lost", "release.agent", "release.wanted")
"""Stale when late: these are never kept for a Redis that is gone."""


@dataclass(slots=True)
class Outgoing:
    """An event on its way: its number among this process's, and whether it was told locally already."""

    number: int
    type: str
    body: str
    told: bool = False


class Outbox:
    """Events in the order they were published, at most 1,000."""

    def __init__(self) -> None:
        self._queue: deque[Outgoing] = deque()
        self._numbers = 0
        self._told: set[int] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, type: str, body: str) -> tuple[Outgoing, Outgoing | None]:
        """Append an event; also returns the oldest, dropped, one if there was no room."""
        self._numbers += 1
        dropped = self._queue.popleft() if len(self._queue) == MOST else None
        outgoing = Outgoing(self._numbers, type, body)
        self._queue.append(outgoing)
        return outgoing, dropped

    def first(self, count: int) -> list[Outgoing]:
        """The oldest events, at most ``count``."""
        return [self._queue[i] for i in range(min(count, len(self._queue)))]

    def confirm(self, number: int) -> None:
        """Forget the events up to a number: Redis has them."""
        while self._queue and self._queue[0].number <= number:
            self._queue.popleft()

    def tell_locally(self) -> list[Outgoing]:
        """The events that no client was told of yet; from now on they count as told. The fleeting are not kept."""
        untold = [outgoing for outgoing in self._queue if not outgoing.told]
        for outgoing in untold:
            outgoing.told = True
            self._told.add(outgoing.number)
        self._queue = deque(outgoing for outgoing in self._queue if outgoing.type not in FLEETING)
        return untold

    def is_echo(self, number: int) -> bool:
        """Whether our event with that number, now coming back from Redis, was told locally already."""
        told = number in self._told
        self._told = {other for other in self._told if other > number} if self._told else self._told
        return told
