"""Tells the status bus from a program that is no server: a training, a pipeline, a release."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Any

from pindet_serve.status.event import encode_body
from pindet_serve.status.opening import MAX_EVENTS
from pindet_serve.status.outbox import Outbox
from pindet_serve.status.redis_stream import publish_arguments

ANSWER_SECONDS = 1.0
RETRY_SECONDS = 10.0
_BATCH = 100
_log = logging.getLogger(__name__)


class Publisher:
    """Publishes events to the Redis bus, from one thread, without asyncio; see :func:`open_publisher`.

    It costs its program at most a second every ten while Redis is away; what is said meanwhile is kept, the newest
    thousand, and told once Redis is back, or at the latest when it is closed.

    Args:
        url: ``redis://host:port/0``, ``rediss://…`` or ``unix://…``.
        source: name of this program; unique among what publishes.
        password: of the server, unless the URL holds it.

    Attributes:
        dropped: events that nobody will get.

    Raises:
        ValueError: a URL that is none of Redis, or the ``redis`` extra is not installed.
    """

    def __init__(self, url: str, source: str, password: str | None = None) -> None:
        self.source, self.dropped = source, 0
        self._redis = _client(url, password)
        self._sender = secrets.token_hex(8)
        self._outbox = Outbox()
        self._next_try = 0.0

    def publish(self, type: str, data: Mapping[str, Any]) -> bool:
        """Tell everyone who follows the bus; never raises.

        Args:
            type: such as ``training.progress``; see :data:`pindet_serve.status.event.FAMILIES`.
            data: JSON; ``run`` names what it is about, so that the newest of a run supersedes the older. A number
                that is not finite becomes null.

        Returns:
            whether Redis has it now.
        """
        try:
            _, dropped = self._outbox.add(type, encode_body(type, time.time(), self.source, _finite(dict(data))))
        except ValueError as error:
            self.dropped += 1
            _log.warning("a status event was dropped: %s", error)
            return False
        self.dropped += dropped is not None
        return time.monotonic() >= self._next_try and self._send()

    def close(self) -> None:
        """Try once more to send what is left, and disconnect."""
        if len(self._outbox):
            self._send()
            self.dropped += len(self._outbox)
        self._redis.close()

    def _send(self) -> bool:
        try:
            while batch := self._outbox.first(_BATCH):
                with self._redis.pipeline(transaction=False) as pipeline:
                    for outgoing in batch:
                        pipeline.execute_command(
                            "EVAL", *publish_arguments(self._sender, outgoing.number, outgoing.body, MAX_EVENTS)
                        )
                    pipeline.execute()
                self._outbox.confirm(batch[-1].number)
        except Exception as error:  # redis-py raises its own errors, OSError, and more
            self._next_try = time.monotonic() + RETRY_SECONDS
            _log.warning("the status bus does not answer, it is tried again later: %s: %s", type(error).__name__, error)
            return False
        return True


class _Silent(Publisher):
    """No bus is configured: what is said goes nowhere, and that is no loss."""

    def __init__(self) -> None:
        self.source, self.dropped = "", 0

    def publish(self, type: str, data: Mapping[str, Any]) -> bool:
        del type, data
        return False

    def close(self) -> None:
        pass


def open_publisher(environment: Mapping[str, str], source: str = "") -> Publisher:
    """The publisher to the bus that ``REDIS_URL`` names, with ``REDIS_PASSWORD``; without it one that says nothing.

    Args:
        environment: such as ``os.environ``.
        source: name of this program; host and process id if empty.

    Raises:
        ValueError: a URL that is none of Redis, or the ``redis`` extra is not installed.
    """
    if not (url := environment.get("REDIS_URL")):
        return _Silent()
    return Publisher(url, source or f"{socket.gethostname()}-{os.getpid()}", environment.get("REDIS_PASSWORD"))


def _client(url: str, password: str | None) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.maint_notifications import MaintNotificationsConfig
        from redis.retry import Retry
    except ModuleNotFoundError as error:
        raise ValueError(
            "REDIS_URL is set and the package redis is not installed; pip install 'pindet-serve[redis]'"
        ) from error
    return redis.Redis.from_url(
        url,
        password=password,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; a loss that is one is told as null."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
