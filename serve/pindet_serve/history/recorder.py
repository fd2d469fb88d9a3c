"""Writes history aside: whoever records never waits for the database."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from pindet_serve.history.database import Database
from pindet_serve.history.records import Record, write
from pindet_serve.history.tables import audit, detections
from pindet_serve.status.backoff import Backoff

_log = logging.getLogger(__name__)
_BATCH = 500
_DAY_MS = 24 * 3600 * 1000
_RETENTION_SECONDS = 3600.0


@dataclass(frozen=True)
class Keeping:
    """How much is kept: records waiting for the database, and days in it; 0 days keeps all."""

    spool: int = 10_000
    detection_days: float = 30.0
    audit_days: float = 365.0


DEFAULT_KEEPING = Keeping()
Publish = Callable[[str, dict[str, Any]], None]
"""Says on the status bus what happened; never waits, never raises."""


def unheard(*_: object) -> None:
    """Tells nobody."""


class Recorder:
    """One thread that writes what others record.

    While the database is away, up to ``keeping.spool`` records wait in memory; beyond that the oldest are dropped,
    and counted. What the database refuses for good is dropped, and counted, one by one.

    Args:
        database: where to.
        source: which process this is.
        keeping: how much.
        publish: told of ``service.history_lost`` and ``service.history_back``.
        flush_seconds: how long records may wait for others to be written together.
        backoff: between tries while the database is away.

    Attributes:
        dropped: records that were lost.
    """

    def __init__(
        self,
        database: Database,
        source: str,
        keeping: Keeping = DEFAULT_KEEPING,
        *,
        publish: Publish = unheard,
        flush_seconds: float = 0.2,
        backoff: Backoff | None = None,
    ) -> None:
        self.dropped = 0
        self._database, self._source, self._keeping = database, source, keeping
        self._publish = publish
        self._flush_seconds = flush_seconds
        self._backoff = backoff or Backoff(0.25, 10.0)
        self._spool: deque[Record] = deque()
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._stopping = threading.Event()
        self._failing = False
        self._next_retention = 0.0
        self._thread: threading.Thread | None = None
        self._deadline = float("inf")

    @property
    def state(self) -> Literal["up", "down"]:
        """Down while the last try to write failed."""
        return "down" if self._failing else "up"

    @property
    def waiting(self) -> int:
        """Records that are not in the database yet."""
        return len(self._spool)

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._write_forever, name="history", daemon=True)
        self._thread.start()

    def stop(self, deadline_s: float = 5.0) -> None:
        """Write what waits, as far as that is done by the deadline; the rest is counted as dropped."""
        self._deadline = time.monotonic() + deadline_s
        self._stopping.set()
        self._filled.set()
        if self._thread:
            self._thread.join(deadline_s + 1)
        with self._lock:
            lost = len(self._spool)
            self._spool.clear()
        if lost:
            self.dropped += lost
            _log.error("%d history records were lost: the database did not take them before the stop", lost)

    def record(self, record: Record) -> None:
        """Take a record, from any thread; never waits, never raises."""
        with self._lock:
            full = len(self._spool) >= self._keeping.spool
            if full:
                self._spool.popleft()
                self.dropped += 1
            self._spool.append(record)
        if full and self.dropped % 1000 == 1:
            _log.error("the history spool is full (%d): %d records were dropped", self._keeping.spool, self.dropped)
        self._filled.set()

    def _write_forever(self) -> None:
        while True:
            self._filled.wait(timeout=60)
            if not self._stopping.is_set():
                self._stopping.wait(self._flush_seconds)
            self._filled.clear()
            try:
                self._write_all()
                self._retain()
            except Exception as error:
                self._failed(error)
                self._pause()
                self._filled.set()
            else:
                self._recovered()
            if self._stopping.is_set() and (not self._spool or time.monotonic() >= self._deadline):
                return

    def _pause(self) -> None:
        if not self._stopping.wait(self._backoff.next()):
            return
        time.sleep(min(0.1, max(0.0, self._deadline - time.monotonic())))

    def _write_all(self) -> None:
        while self._spool and time.monotonic() < self._deadline:
            with self._lock:
                batch = [self._spool[i] for i in range(min(_BATCH, len(self._spool)))]
            try:
                self._write(batch)
            except Exception as error:
                if not _is_final(error):
                    raise
                self._write_singly(batch)
            self._forget(batch)

    def _write_singly(self, batch: list[Record]) -> None:
        for record in batch:
            try:
                self._write([record])
            except Exception as error:
                if not _is_final(error):
                    raise
                self.dropped += 1
                _log.error("a history record was refused and dropped: %s", type(error).__name__)
            self._forget([record])

    def _write(self, batch: list[Record]) -> None:
        with self._database.begin(write=True) as connection:
            write(connection, batch, self._source)

    def _forget(self, batch: list[Record]) -> None:
        written = {id(record) for record in batch}
        with self._lock:
            # Some may have been dropped meanwhile because the spool was full.
            while self._spool and id(self._spool[0]) in written:
                self._spool.popleft()

    def _retain(self) -> None:
        if time.monotonic() < self._next_retention:
            return
        self._next_retention = time.monotonic() + _RETENTION_SECONDS
        now = time.time_ns() // 1_000_000
        for table, days in ((detections, self._keeping.detection_days), (audit, self._keeping.audit_days)):
            oldest = select(table.c.id).where(table.c.at_ms < now - days * _DAY_MS).limit(_BATCH * 10)
            deleted = days > 0
            while deleted and not self._stopping.is_set():  # in parts, so that no writer waits long
                with self._database.begin(write=True) as connection:
                    deleted = connection.execute(delete(table).where(table.c.id.in_(oldest))).rowcount > 0

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            _log.warning("history can not be written, it waits in memory: %s", type(error).__name__)
            self._publish("service.history_lost", {"id": "history", "reason": type(error).__name__})
        if not isinstance(error, SQLAlchemyError):
            _log.debug("history", exc_info=error)
        self._failing = True

    def _recovered(self) -> None:
        if self._failing:
            _log.info("history is written again")
            self._publish("service.history_back", {"id": "history", "dropped": self.dropped})
        self._failing = False
        self._backoff.reset()


def _is_final(error: Exception) -> bool:
    """Whether trying again can not help: the record is at fault, not the database."""
    if isinstance(error, DataError | IntegrityError):
        return True
    # A statement that never reached the database: a value that it has no form for.
    return isinstance(error, ValueError | KeyError | TypeError | OverflowError) or type(error) is StatementError
