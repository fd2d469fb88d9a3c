"""One reader of the hub."""

from __future__ import annotations

from types import TracebackType

from pindet_serve.status.hub import Entry, Hub


class SlowReaderError(Exception):
    """The reader fell so far behind that events it has not read are gone."""


class Cursor:
    """Reads the events of a hub in order: a snapshot, what was missed since ``last_id``, then live.

    A reader more than ``coalesce_after`` events behind skips live events that a later one supersedes (the older
    heartbeats of a replica, for example).

    Args:
        hub: where the events are.
        last_id: id of the last event that was read before; ``None`` for none.
        coalesce_after: how many live events behind counts as slow.
    """

    def __init__(self, hub: Hub, last_id: str | None = None, coalesce_after: int = 32) -> None:
        self._hub = hub
        self._coalesce_after = coalesce_after
        self._first: Entry | None
        self._first, self._next = hub.locate(last_id)
        self._live_from = hub.end

    def start_over(self) -> None:
        """Go on with a flagged snapshot and what comes after it."""
        self._first, self._next = self._hub.locate("")
        self._live_from = self._hub.end

    def __enter__(self) -> Cursor:
        self._hub.readers += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.readers -= 1

    async def next(self) -> Entry:
        """Wait for the next event.

        Raises:
            SlowReaderError: it is not held any more.
        """
        while (entry := self.ready()) is None:
            await self._hub.wait()
        return entry

    def ready(self) -> Entry | None:
        """The next event if there is one now.

        Raises:
            SlowReaderError: it is not held any more.
        """
        if self._first:
            first, self._first = self._first, None
            return first
        hub = self._hub
        while self._next < hub.end:
            if self._next < hub.start:
                raise SlowReaderError(f"{hub.start - self._next} events were dropped before they were read")
            entry = hub.entry(self._next)
            behind = hub.end - self._next
            self._next += 1
            needless = entry.past or (entry.superseded and behind > self._coalesce_after)
            if not needless or self._next <= self._live_from:
                return entry
        return None
