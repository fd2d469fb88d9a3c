"""The bus between processes, on Redis."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from pindet_serve.status.backoff import Backoff
from pindet_serve.status.bus import PING_SECONDS, Bus, State
from pindet_serve.status.claims import Claims
from pindet_serve.status.event import Position, encode_body, format_position
from pindet_serve.status.outbox import Outbox, Outgoing
from pindet_serve.status.redis_stream import (
    CHANNEL,
    SENDER,
    STREAM,
    Arrived,
    from_channel,
    from_stream,
    publish_arguments,
)

_log = logging.getLogger(__name__)
_FAILURES = (RedisError, OSError, TimeoutError, ValueError)
_BATCH = 100
_CLAIM = "{pindet:status}:claim:"


@dataclass(frozen=True)
class Timing:
    """Seconds: how long Redis may take to answer, how long it may be silent before it is asked, and the back-off."""

    answer: float = 2.0
    silence: float = 2.0
    first_retry: float = 0.25
    longest_retry: float = 5.0


class RedisBus(Bus):
    """Carries events between processes through a Redis server, which may come and go.

    While it is away, this process goes on telling its own clients, with ids that only it knows; what it published
    meanwhile follows once Redis is back, but for heartbeats and detections. See :class:`Bus`.

    Args:
        url: ``redis://host:port/0``, ``rediss://…`` or ``unix://…``.
        password: password of the server, unless the URL holds it.
        timing: patience with the server.

    Raises:
        ValueError: a URL that is none of Redis.
    """

    backend = "redis"

    def __init__(
        self,
        url: str,
        source: str,
        max_events: int = 4096,
        *,
        password: str | None = None,
        ping_seconds: float = PING_SECONDS,
        timing: Timing = Timing(),
    ) -> None:
        super().__init__(source, max_events, ping_seconds, floor=(0, 0, 0))
        self._timing = timing
        self._redis = _client(url, password, timing)
        self._sender = secrets.token_hex(8)
        self._outbox = Outbox()
        self._filled = asyncio.Event()
        self._up = asyncio.Event()
        self._lost_at: float | None = None
        self._claims = Claims()
        self._synced: Position | None = None

    @property
    def state(self) -> State:
        """Up while Redis answers."""
        return "up" if self._up.is_set() else "down"

    async def start(self) -> None:
        """Begin to follow Redis; returns at once, also when it is away."""
        await super().start()
        self._tasks.append(asyncio.create_task(self._listen_forever(), name=f"status listener {self.source}"))
        self._tasks.append(asyncio.create_task(self._send_forever(), name=f"status sender {self.source}"))

    async def stop(self) -> None:
        """Send what is left, within one answer's time, and disconnect."""
        deadline = time.monotonic() + self._timing.answer
        while self._tasks and len(self._outbox) and self._up.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await super().stop()
        self.dropped += len(self._outbox)
        self._up.clear()
        await self._redis.aclose()

    async def claim(self, key: str, seconds: float) -> bool:
        """Whether this is the first claim of ``key``; only this process is asked while Redis is away."""
        if not self._claims.claim(key, seconds):
            return False
        if not self._up.is_set():
            return True
        try:
            async with asyncio.timeout(self._timing.answer):
                return bool(await self._redis.set(_CLAIM + key, self._sender, nx=True, px=int(seconds * 1000)))
        except _FAILURES as error:
            self._went_down(error)
            return True

    def _publish(self, type: str, data: Mapping[str, Any]) -> None:
        _, dropped = self._outbox.add(type, encode_body(type, time.time(), self.source, data))
        if dropped:
            self.dropped += 1
            if self.dropped % 100 == 1:
                _log.warning("Redis is away and the outbox is full: %d events were dropped", self.dropped)
        if self._up.is_set():
            self._filled.set()
        else:
            self._tell_locally()

    def _tell_locally(self) -> None:
        for outgoing in self._outbox.tell_locally():
            self.hub.append(self.hub.next_local(), outgoing.body)

    # -- sending ------------------------------------------------------------------------------------------------

    async def _send_forever(self) -> None:
        while True:
            await self._up.wait()
            await self._filled.wait()
            self._filled.clear()
            try:
                while self._up.is_set() and (batch := self._outbox.first(_BATCH)):
                    async with asyncio.timeout(self._timing.answer):
                        await self._send(batch)
                    self._outbox.confirm(batch[-1].number)
            except _FAILURES as error:
                self._went_down(error)

    async def _send(self, batch: list[Outgoing]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for outgoing in batch:
                arguments = publish_arguments(self._sender, outgoing.number, outgoing.body, self.hub.size)
                pipeline.execute_command("EVAL", *arguments)
            await pipeline.execute()

    # -- listening ----------------------------------------------------------------------------------------------

    async def _listen_forever(self) -> None:
        # redis-py's own listener gives up for good after a few seconds, so each try here is a new connection.
        backoff = Backoff(self._timing.first_retry, self._timing.longest_retry)
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=False) as pubsub:
                    await self._follow(pubsub, backoff)
            except _FAILURES as error:
                self._went_down(error)
            except Exception as error:
                _log.exception("the status listener failed; it starts again")
                self._went_down(error)
            await asyncio.sleep(backoff.next())

    async def _follow(self, pubsub: PubSub, backoff: Backoff) -> None:
        async with asyncio.timeout(self._timing.answer):
            await pubsub.subscribe(CHANNEL)
            # From the confirmation on nothing published is missed; what came before is in the stream.
            while (await pubsub.get_message(timeout=self._timing.answer) or {}).get("type") != "subscribe":
                pass
            await self._catch_up()
            # A server that is full, or only a replica, can be read and not written.
            await self._redis.set(SENDER + self._sender + ":probe", 1, ex=60)
        self._came_back()
        backoff.reset()
        asked = False
        while self._up.is_set():  # the sender may have found out otherwise
            message = await pubsub.get_message(timeout=self._timing.answer if asked else self._timing.silence)
            if message is None:
                if asked:
                    raise TimeoutError(f"Redis does not answer within {self._timing.answer} s")
                async with asyncio.timeout(self._timing.answer):
                    await pubsub.ping()
            asked = message is None
            if message and message["type"] == "message":
                self._arrived(from_channel(message["data"]))

    async def _catch_up(self) -> None:
        """Bring the hub to the end of the stream; flag a gap when the stream no longer holds where we were."""
        if self._synced is not None and await self._continue(self._synced):
            return
        newest: Any = await self._redis.xrevrange(STREAM, count=self.hub.size)
        arrived = [from_stream(entry) for entry in reversed(newest)]
        milliseconds, number, _ = arrived[0].position if arrived else (0, 0, 0)
        self.hub.restart((milliseconds, number, -1 if arrived else 0))
        lost, self._synced = self._synced is not None, (0, 0, 0)
        for item in arrived:
            self._arrived(item, past=not lost)
        if lost:
            self.hub.announce_reset()

    async def _continue(self, synced: Position) -> bool:
        """Take what was missed since a position, if the stream still holds all of it."""
        most = self.hub.size + 1
        since: Any = await self._redis.xrange(STREAM, format_position(synced) if any(synced) else "-", count=most)
        missed = [from_stream(entry) for entry in since]
        if len(missed) == most or (any(synced) and (not missed or missed[0].position != synced)):
            return False
        for item in missed:
            self._arrived(item)
        return True

    def _arrived(self, item: Arrived, *, past: bool = False) -> None:
        if self._synced is not None and item.position <= self._synced:
            return
        self._synced = item.position
        if item.sender == self._sender and self._outbox.is_echo(item.number):
            return
        self.hub.append(item.position, item.body, past=past)

    # -- state --------------------------------------------------------------------------------------------------

    def _went_down(self, error: BaseException) -> None:
        if self._lost_at is not None:
            _log.debug("Redis is still away: %s", error)
            return
        self._lost_at = time.monotonic()
        self._up.clear()
        reason = f"{type(error).__name__}: {error}"[:200]
        _log.warning("the status bus lost Redis, this replica tells only its own clients: %s", reason)
        self._tell_locally()
        self.hub.append_local("service.redis_lost", {"id": "redis", "reason": reason})

    def _came_back(self) -> None:
        self._up.set()
        self._filled.set()
        if self._lost_at is not None:
            seconds = round(time.monotonic() - self._lost_at, 3)
            self._lost_at = None
            _log.info("the status bus has Redis again after %s s", seconds)
            self._publish("service.redis_back", {"id": "redis", "seconds": seconds})


def _client(url: str, password: str | None, timing: Timing) -> Redis:
    return Redis.from_url(
        url,
        password=password,  # one in the URL goes before
        decode_responses=True,
        socket_timeout=timing.answer,
        socket_connect_timeout=timing.answer,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
