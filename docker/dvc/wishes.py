"""Listens on the status bus for wishes for releases, and says there that it listens.

Only with ``RELEASES_FROM_PAGE=on``: then whoever is admin on the page can make this agent promote and roll back. A wish
is signed by the server with ``RELEASE_SECRET``, is carried out at most once, and not when it is older than a minute.
"""

from __future__ import annotations

import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import redis
from choices import Choices
from fulfil import Fulfilled, fulfil, obstacle
from pindet_serve.status.backoff import Backoff
from pindet_serve.status.claims import Claims
from pindet_serve.status.publisher import Publisher
from pindet_serve.status.redis_stream import STREAM, from_stream
from pindet_serve.status.release_agent import BEAT_SECONDS
from pindet_serve.status.wish import LONGEST_AGE, MOST_AHEAD, Wish, WishError, read_wish
from project import Project, ProjectError
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from pindet.promotion.errors import PromotionError

BLOCK_SECONDS = 1.0
MOST_WAITING = 20
_CLAIM = "{pindet:status}:claim:wish:"
_REMEMBERED = 10 * (LONGEST_AGE + MOST_AHEAD)
_log = logging.getLogger("agent.wishes")


class Wishes:
    """Two threads: one listens and says that it does, one carries out, a wish at a time.

    Args:
        project: the clone; ``lock`` is held while it is worked on.
        lock: shared with the rounds of the agent.
        url: of the bus.
        password: of the bus.
        secret: by which wishes are signed; empty when none are carried out.
    """

    def __init__(self, project: Project, lock: threading.Lock, url: str, password: str | None, secret: str) -> None:
        self._project, self._lock, self._secret = project, lock, secret
        self._redis: Any = redis.Redis.from_url(
            url, password=password, decode_responses=True, socket_timeout=BLOCK_SECONDS + 4, socket_connect_timeout=4,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )  # fmt: skip
        self._publisher = Publisher(url, f"release-agent@{socket.gethostname()}", password)
        self._telling = threading.Lock()
        self._choices, self._known = Choices(project.root), {"stages": {}, "versions": []}
        self._claims = Claims()
        self._waiting: queue.Queue[Wish] = queue.Queue(MOST_WAITING)
        self._beat_at, self._stopped = 0.0, threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._work)]

    def start(self) -> None:
        """Begin to listen."""
        for thread in self._threads[: 2 if self._secret else 1]:
            thread.start()

    def stop(self, seconds: float = 20.0) -> None:
        """Take no more; what is being carried out may end within some seconds."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(seconds)

    def look(self) -> None:
        """Read again what can be chosen; call it with the lock held.

        Raises:
            PromotionError: the clone can not be read.
        """
        known = self._choices.read()
        if known != self._known:
            self._known, self._beat_at = known, 0.0

    # -- listening ----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        backoff, after = Backoff(0.25, 10.0), f"{int((time.time() - LONGEST_AGE) * 1000)}-0"
        while not self._stopped.is_set():
            try:
                self._say_if_due()
                if not self._secret:
                    self._stopped.wait(BLOCK_SECONDS)
                    continue
                answer: Any = self._redis.xread({STREAM: after}, count=100, block=int(BLOCK_SECONDS * 1000))
                for entry in answer[0][1] if answer else []:
                    after = entry[0]
                    self._hear(entry)
                backoff.reset()
            except (RedisError, OSError) as error:
                _log.warning("the status bus does not answer, it is tried again: %s", error)
                self._stopped.wait(backoff.next())
            except Exception:
                _log.exception("listening for wishes failed; it goes on")
                self._stopped.wait(backoff.next())

    def _say_if_due(self) -> None:
        if time.monotonic() < self._beat_at or not self._known["stages"]:
            return
        self._beat_at = time.monotonic() + BEAT_SECONDS
        self._tell("release.agent", {"carries_out": bool(self._secret), **self._known})

    def _hear(self, entry: Any) -> None:
        try:
            event = json.loads(from_stream(entry).body)
            if event["type"] != "release.wanted":
                return
            data = event["data"]
            wish = read_wish(data, self._secret)
        except WishError as error:
            _log.warning("a wish was not taken: %s", error)
            self._refuse(data, str(error))
            return
        except (KeyError, TypeError, ValueError):
            return  # what else is on the bus is others'
        self._take(wish)

    def _take(self, wish: Wish) -> None:
        reason = ""
        try:
            if not self._is_first(wish.id):
                _log.warning("wish %s was heard before; it is not carried out again", wish.id)
                return
            wish.check_age()
            self._waiting.put_nowait(wish)
        except WishError as error:
            reason = str(error)
        except queue.Full:
            reason = f"{MOST_WAITING} wishes wait already; wish again later"
        except (RedisError, OSError):
            reason = "the status bus went away just then; wish again"
        if reason:
            self._tell_of(wish, Fulfilled("refused", {"reason": reason}))

    def _is_first(self, id: str) -> bool:
        """Whether no agent took this wish before: this one now, or any within a quarter of an hour."""
        return self._claims.claim(id, _REMEMBERED) and bool(
            self._redis.set(_CLAIM + id, 1, nx=True, ex=int(_REMEMBERED))
        )

    # -- carrying out -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopped.is_set():
            try:
                wish = self._waiting.get(timeout=BLOCK_SECONDS)
            except queue.Empty:
                continue
            try:
                self._tell_of(wish, self._fulfil(wish))
            except Exception as error:
                _log.exception("wish %s failed", wish.id)
                self._tell_of(wish, Fulfilled("refused", {"reason": f"it failed: {error!r}"}))

    def _fulfil(self, wish: Wish) -> Fulfilled:
        with self._lock:
            try:
                wish.check_age()  # it may have waited for a round, or for another wish
                self._project.follow()
                self.look()
                if reason := obstacle(wish, self._known):
                    return Fulfilled("refused", {"reason": reason})
                self._tell_of(wish, Fulfilled("accepted", {}))
                fulfilled = fulfil(wish, self._project.root)
                self.look()
            except (WishError, ProjectError, PromotionError, OSError) as error:
                return Fulfilled("refused", {"reason": str(error)})
        return fulfilled

    def _tell_of(self, wish: Wish, fulfilled: Fulfilled) -> None:
        told = {"id": wish.id, "kind": wish.kind, "stage": wish.stage, "version": wish.version, "by": wish.by}
        _log.info("wish %s: %s", fulfilled.what, told | fulfilled.data)
        self._tell(f"release.{fulfilled.what}", told | fulfilled.data)

    def _refuse(self, data: Mapping[str, Any], reason: str) -> None:
        """Say that something is no wish; what it says of itself is not believed, and cut."""
        told = {name: str(data.get(name, ""))[:80] for name in ("id", "kind", "stage", "version")}
        self._tell("release.refused", told | {"reason": reason})

    def _tell(self, type: str, data: Mapping[str, Any]) -> None:
        with self._telling:
            self._publisher.publish(type, data)
