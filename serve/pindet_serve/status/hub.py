"""The events a replica holds in memory, and those who read them.

Every reader walks the one ring of encoded events with a cursor of its own: an event is encoded once, and a reader
costs a number and, while it waits, a future.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from websockets.frames import Frame, Opcode

from pindet_serve.status.event import (
    Event,
    Position,
    decode,
    encode_body,
    format_position,
    parse_position,
    with_id,
)
from pindet_serve.status.snapshot import Snapshot

COALESCED = frozenset(
    {"heartbeat", "detection", "ping", "training.progress", "pipeline.progress", "job.running", "release.agent"}
)
_SNAPSHOT_SECONDS = 1.0


@dataclass(eq=False)
class Entry:
    """An event in the ring.

    Attributes:
        frame: the text as a WebSocket frame of a server, the same for every reader.
        superseded: a later one tells the same, newer.
        past: it happened before this process followed the bus; only for those who resume from before it.
    """

    position: Position
    event: Event
    text: str
    superseded: bool = False
    past: bool = False

    @cached_property
    def frame(self) -> bytes:
        return Frame(Opcode.TEXT, self.text.encode()).serialize(mask=False)


class Hub:
    """A bounded ring of events in order. Only for the event loop's thread.

    Args:
        source: name of this replica.
        max_events: how many events can be resumed from.
        floor: events after this position are known to be complete.
        describe: how the bus is, for the snapshot.
    """

    def __init__(
        self, source: str, max_events: int, floor: Position, describe: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self.source = source
        self.size = max_events
        self.start = 0
        self.end = 0
        self.readers = 0
        self.head = floor
        self._floor = floor
        self._resumable = 0
        self._slots: list[Entry | None] = [None] * max_events
        self._last: dict[tuple[str, tuple[str, str]], Entry] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._snapshot = Snapshot()
        self._describe = describe
        self._cached: dict[bool, tuple[Position, float, Entry]] = {}

    def append(self, position: Position, body: str, *, past: bool = False) -> Entry:
        """Add an encoded event; its position must lie after the last one's."""
        assert position > self.head, f"{position} does not follow {self.head}"
        text = with_id(format_position(position), body)
        entry = Entry(position, decode(text), text, past=past)
        self._snapshot.add(entry.event)
        self._push(entry)
        return entry

    def append_local(self, type: str, data: dict[str, Any]) -> Entry:
        """Add an event that only the clients of this replica get."""
        return self.append(self.next_local(), encode_body(type, time.time(), self.source, data))

    def next_local(self) -> Position:
        """The position of an event of this replica alone: just after the last one that all have."""
        return (self.head[0], self.head[1], self.head[2] + 1)

    def restart(self, floor: Position) -> None:
        """Begin anew after a loss: resuming from before ``floor`` gives a flagged snapshot; who reads now reads on."""
        self._resumable, self._floor, self.head = self.end, floor, floor
        self._last.clear()
        self._cached.clear()

    def announce_reset(self) -> None:
        """Send a flagged snapshot to everyone who is reading."""
        position = self.next_local()
        data = self._snapshot.data(self._describe(), reset=True)
        event = Event(format_position(position), "snapshot", time.time(), self.source, data)
        self._push(Entry(position, event, event.text()))

    def entry(self, number: int) -> Entry:
        """The event with a running number from ``start`` to before ``end``."""
        entry = self._slots[number % self.size]
        assert entry is not None
        return entry

    def locate(self, last_id: str | None) -> tuple[Entry, int]:
        """Where a reader begins.

        Args:
            last_id: id of the last event that it has read.

        Returns:
            the snapshot event to begin with, and the running number of the event to go on with. The id of the
            snapshot is the position from which the following events go on.
        """
        position = parse_position(last_id) if last_id else None
        # Another replica may have told more to its own clients since the last event that all have.
        if position is None or position < self._floor or position[:2] > self.head[:2]:
            return self._snapshot_entry(reset=last_id is not None), self.end
        low, high = max(self.start, self._resumable), self.end
        while low < high:
            middle = (low + high) // 2
            if self.entry(middle).position <= position:
                low = middle + 1
            else:
                high = middle
        return self._snapshot_entry(reset=False, position=position), low

    def known(self, type: str) -> list[Event]:
        """The last events of a type, one of each subject, that tell how things are."""
        return self._snapshot.known(type)

    async def wait(self) -> None:
        """Return when there is something new."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _push(self, entry: Entry) -> None:
        if entry.event.type in COALESCED:
            key = (entry.event.type, entry.event.subject)
            if older := self._last.get(key):
                older.superseded = True
            self._last[key] = entry
        if self.end - self.start == self.size:
            self._evict()
        self._slots[self.end % self.size] = entry
        self.end += 1
        self.head = entry.position
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _evict(self) -> None:
        evicted = self.entry(self.start)
        if self.start >= self._resumable:
            self._floor = evicted.position
        self.start += 1
        key = (evicted.event.type, evicted.event.subject)
        if self._last.get(key) is evicted:
            del self._last[key]

    def _snapshot_entry(self, *, reset: bool, position: Position | None = None) -> Entry:
        # Thousands may come at once after a restart: those who begin at the head share one encoded snapshot.
        now = time.monotonic()
        cached = self._cached.get(reset)
        if position in (None, self.head) and cached and cached[0] == self.head and now - cached[1] < _SNAPSHOT_SECONDS:
            return cached[2]
        data = self._snapshot.data(self._describe(), reset=reset)
        place = self.head if position is None else position
        event = Event(format_position(place), "snapshot", time.time(), self.source, data)
        entry = Entry(place, event, event.text())
        if place == self.head:
            self._cached[reset] = (self.head, now, entry)
        return entry
