"""How many bytes of bodies may lie in memory at once."""

from __future__ import annotations

from types import TracebackType


class BodyRoom:
    """Counts the bytes of all bodies that are being received or answered. For the event loop's thread.

    Args:
        capacity: bytes at most.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.used = capacity, 0

    def holder(self) -> BodyHolder:
        """What one request, or one socket, holds of it; empty at first."""
        return BodyHolder(self)


class BodyHolder:
    """The share of one request or socket; leaving the block gives all of it back."""

    def __init__(self, room: BodyRoom) -> None:
        self._room, self._held = room, 0

    def take(self, size: int) -> bool:
        """Hold so many bytes more, if there is room for them."""
        if self._room.used + size > self._room.capacity:
            return False
        self._room.used += size
        self._held += size
        return True

    def give_back(self, size: int | None = None) -> None:
        """Hold so many bytes less, all of them when ``None``."""
        size = self._held if size is None else min(size, self._held)
        self._room.used -= size
        self._held -= size

    def __enter__(self) -> BodyHolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
