"""The status bus as the server uses it; memory and Redis are its backends."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

from pindet_serve.status.cursor import Cursor, SlowReaderError
from pindet_serve.status.event import Event, Position
from pindet_serve.status.hub import Hub

State = Literal["up", "down"]
PING_SECONDS = 15.0
MOST_EARLY = 100
_log = logging.getLogger(__name__)


class Bus(ABC):
    """Carries events between the processes of one installation.

    Args:
        source: name of this process, unique among the replicas.
        max_events: how many events a client can have missed and still resume.
        ping_seconds: how often every client of this replica gets a ``ping``.
        floor: position from which this process's events are complete.

    Attributes:
        hub: the events that this process holds.
        dropped: events that were published and that nobody will get.
    """

    backend: str

    def __init__(self, source: str, max_events: int, ping_seconds: float, floor: Position) -> None:
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}; it must be at least 1")
        self.source = source
        self.hub = Hub(source, max_events, floor, self.describe)
        self.dropped = 0
        self._ping_seconds = ping_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    @abstractmethod
    def state(self) -> State:
        """Whether events reach the other processes now."""

    @abstractmethod
    def _publish(self, type: str, data: Mapping[str, Any]) -> None:
        """Take one event, on the loop's thread, without waiting.

        Raises:
            ValueError: an event that can not be encoded.
        """

    @abstractmethod
    async def claim(self, key: str, seconds: float) -> bool:
        """Whether this is the first claim of ``key`` within ``seconds``, among all processes while the bus is up."""

    def describe(self) -> dict[str, Any]:
        """How the bus is, for snapshots and the health page."""
        return {"backend": self.backend, "state": self.state, "dropped": self.dropped}

    async def start(self) -> None:
        """Begin to carry events. Returns at once, whatever the state of a server it needs."""
        self._loop, self._stopped = asyncio.get_running_loop(), False
        early, self._early = self._early, []
        for type, data in early:
            self._publish_quietly(type, data)
        self._tasks.append(asyncio.create_task(self._ping(), name=f"status ping {self.source}"))

    async def stop(self) -> None:
        """Stop carrying events."""
        self._loop, self._stopped = None, True
        tasks, self._tasks = self._tasks, []
        # redis-py loses a cancellation that coincides with a timeout of its own, so each is repeated until it is heard.
        while waiting := [task for task in tasks if not task.done()]:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting, timeout=0.1)

    async def publish(self, type: str, data: Mapping[str, Any]) -> None:
        """Tell everyone, from the loop's thread. Does not wait for the event to arrive anywhere.

        Raises:
            ValueError: an unknown type, data that is no JSON, or more than 64 KiB.
        """
        self._publish(type, data)

    def publish_soon(self, type: str, data: Mapping[str, Any]) -> None:
        """Tell everyone, from any thread. Never waits, never raises; what can not be told is counted.

        What is said before the start is told at the start.
        """
        loop = self._loop
        try:
            if loop is None and not self._stopped and len(self._early) < MOST_EARLY:
                self._early.append((type, dict(data)))
                return
            if loop is None:
                raise RuntimeError("the bus is not started")
            loop.call_soon_threadsafe(self._publish_quietly, type, dict(data))
        except Exception as error:
            self._count_drop(type, error)

    @asynccontextmanager
    async def subscribe(self, last_id: str | None = None) -> AsyncIterator[AsyncIterator[Event]]:
        """Read the events: a snapshot, those after ``last_id``, then live.

        Who reads too slowly, or resumes from what is no longer held, gets a snapshot with ``reset`` true.
        """
        with Cursor(self.hub, last_id) as cursor:
            yield self._events(cursor)

    async def _events(self, cursor: Cursor) -> AsyncIterator[Event]:
        while True:
            try:
                yield (await cursor.next()).event
            except SlowReaderError:
                cursor.start_over()

    def _publish_quietly(self, type: str, data: Mapping[str, Any]) -> None:
        try:
            self._publish(type, data)
        except Exception as error:
            self._count_drop(type, error)

    def _count_drop(self, type: str, error: Exception) -> None:
        self.dropped += 1
        _log.warning("status event %s was dropped: %s", type, error)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            self.hub.append_local("ping", {})
