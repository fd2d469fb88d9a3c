"""Carries wishes for releases out, one at a time, and says on the status bus what can be chosen and what came of them.

Only with ``RELEASES_FROM_PAGE=on``: then whoever is admin on the page can make this agent promote and roll back.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from choices import Choices, shown
from fulfil import Fulfilled, fulfil, obstacle
from hearing import BLOCK_SECONDS, Hearing
from pindet_serve.status.publisher import Publisher
from pindet_serve.status.release_agent import BEAT_SECONDS
from pindet_serve.status.wish import Wish, WishError
from project import Project, ProjectError

from pindet.promotion.errors import PromotionError

MOST_WAITING = 20
_log = logging.getLogger("agent.wishes")


class Wishes:
    """Threads beside the rounds of the agent: one says that it is there, one hears wishes, one carries them out.

    Args:
        project: the clone.
        lock: held while the clone is worked on; shared with the rounds.
        url: of the bus.
        password: of the bus.
        secret: by which wishes are signed; empty when none are carried out.
    """

    def __init__(self, project: Project, lock: threading.Lock, url: str, password: str | None, secret: str) -> None:
        self._project, self._lock, self._carries_out = project, lock, bool(secret)
        self._publisher = Publisher(url, f"release-agent@{socket.gethostname()}", password)
        self._telling, self._stopped = threading.Lock(), threading.Event()
        self._choices = Choices(project.root)
        self._known: dict[str, Any] = {"stages": {}, "versions": []}
        self._say_at = 0.0
        self._waiting: queue.Queue[Wish] = queue.Queue(MOST_WAITING)
        self._threads = [threading.Thread(target=self._say_forever, daemon=True)]
        if secret:
            hearing = Hearing(url, password, secret, self._take, self._refuse)
            self._threads.append(threading.Thread(target=hearing.listen, args=(self._stopped,), daemon=True))
            self._threads.append(threading.Thread(target=self._work, daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 20.0) -> None:
        """Take no more; what is being carried out may end within some seconds."""
        self._stopped.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def look(self) -> None:
        """Read again what can be chosen; call it with the lock held.

        Raises:
            PromotionError: the clone can not be read.
        """
        known = self._choices.read()
        if known != self._known:
            self._known, self._say_at = known, 0.0

    def _say_forever(self) -> None:
        while not self._stopped.wait(BLOCK_SECONDS / 2):
            if time.monotonic() >= self._say_at and self._known["stages"]:
                self._say_at = time.monotonic() + BEAT_SECONDS
                self._tell("release.agent", {"carries_out": self._carries_out, **shown(self._known)})

    def _take(self, wish: Wish) -> None:
        try:
            self._waiting.put_nowait(wish)
        except queue.Full:
            raise WishError(f"{MOST_WAITING} wishes wait already; wish again later") from None

    def _refuse(self, told: Mapping[str, str], reason: str) -> None:
        _log.warning("a wish is refused: %s: %s", dict(told), reason)
        self._tell("release.refused", {**told, "reason": reason})

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
            except (WishError, ProjectError, PromotionError, OSError) as error:
                return Fulfilled("refused", {"reason": str(error)})
            self._tell_of(wish, Fulfilled("accepted", {}))
            fulfilled = fulfil(wish, self._project.root)
            try:
                self.look()
            except PromotionError as error:
                _log.warning("what can be chosen now is read in the next round: %s", error)
            return fulfilled

    def _tell_of(self, wish: Wish, fulfilled: Fulfilled) -> None:
        told = {"id": wish.id, "kind": wish.kind, "stage": wish.stage, "version": wish.version, "by": wish.by}
        _log.info("wish %s: %s", fulfilled.what, told | fulfilled.data)
        self._tell(f"release.{fulfilled.what}", told | fulfilled.data)

    def _tell(self, type: str, data: Mapping[str, Any]) -> None:
        with self._telling:
            self._publisher.publish(type, data)
