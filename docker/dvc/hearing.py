"""Hears wishes for releases on the status bus: each once, signed by a server of this place, and not late."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from pindet_serve.status.backoff import Backoff
from pindet_serve.status.claims import Claims
from pindet_serve.status.redis_stream import STREAM, from_stream
from pindet_serve.status.wish import LONGEST_AGE, MOST_AHEAD, Wish, WishError, read_wish
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

BLOCK_SECONDS = 1.0
_CLAIM = "{pindet:status}:claim:wish:"
_REMEMBERED = int(10 * (LONGEST_AGE + MOST_AHEAD))
_log = logging.getLogger("agent.wishes")

Take = Callable[[Wish], None]
"""Takes a wish to carry out; raises :class:`WishError` when it can not."""
Refuse = Callable[[dict[str, str], str], None]
"""Says that something is not carried out: what it says of itself, and why."""


class Hearing:
    """Follows the bus until it is stopped, and goes on where it was when the bus was away.

    Args:
        url: of the bus.
        password: of the bus.
        secret: by which wishes are signed.
    """

    def __init__(self, url: str, password: str | None, secret: str, take: Take, refuse: Refuse) -> None:
        self._secret, self._take, self._refuse = secret, take, refuse
        self._redis: Any = redis.Redis.from_url(
            url, password=password, decode_responses=True, socket_timeout=BLOCK_SECONDS + 4, socket_connect_timeout=4,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )  # fmt: skip
        self._claims = Claims()
        # What was said while no agent listened is heard as long as it would be carried out.
        self._after = f"{int((time.time() - LONGEST_AGE) * 1000)}-0"

    def listen(self, stopped: threading.Event) -> None:
        """Hear everything; nothing that goes wrong ends it."""
        backoff = Backoff(0.25, 10.0)
        while not stopped.is_set():
            try:
                answer: Any = self._redis.xread({STREAM: self._after}, count=100, block=int(BLOCK_SECONDS * 1000))
                for entry in answer[0][1] if answer else []:
                    self._after = entry[0]
                    self._hear(entry)
                backoff.reset()
            except (RedisError, OSError) as error:
                _log.warning("the status bus does not answer, it is tried again: %s", error)
                stopped.wait(backoff.next())
            except Exception:
                _log.exception("listening for wishes failed; it goes on")
                stopped.wait(backoff.next())

    def _hear(self, entry: Any) -> None:
        try:
            event = json.loads(from_stream(entry).body)
            type, data = event["type"], dict(event["data"])
        except (KeyError, TypeError, ValueError):
            return  # what else is on the bus is others'
        if type != "release.wanted":
            return
        told = {name: str(data.get(name, ""))[:80] for name in ("id", "kind", "stage", "version", "by")}
        try:
            wish = read_wish(data, self._secret)
            if not self._is_first(wish.id):
                _log.warning("wish %s was heard before; it is not carried out again", wish.id)
                return
            wish.check_age()
            self._take(wish)
        except WishError as error:
            self._refuse(told, str(error))
        except (RedisError, OSError):
            self._refuse(told, "the status bus went away just then; wish again")

    def _is_first(self, id: str) -> bool:
        """Whether no agent heard this wish before: this one, or any within a quarter of an hour."""
        return self._claims.claim(id, _REMEMBERED) and bool(self._redis.set(_CLAIM + id, 1, nx=True, ex=_REMEMBERED))
