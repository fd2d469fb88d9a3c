"""History as the server uses it: recording, reading, and how it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pindet_serve.history.archive import Archive
from pindet_serve.history.audit import AuditEntry
from pindet_serve.history.database import Database
from pindet_serve.history.recorder import DEFAULT_KEEPING, Keeping, Publish, Recorder, unheard
from pindet_serve.history.records import DetectionRecord


class History:
    """``app.state.history``.

    Attributes:
        database: shared with the users.
        archive: reads.
    """

    def __init__(
        self, database: Database, source: str, keeping: Keeping = DEFAULT_KEEPING, publish: Publish = unheard
    ) -> None:
        self.database = database
        self.archive = Archive(database)
        self._recorder = Recorder(database, source, keeping, publish=publish)

    async def start(self) -> None:
        """Begin to write; returns at once, whatever the state of the database."""
        self._recorder.start()

    async def stop(self, deadline_s: float = 5.0) -> None:
        """Write what waits, at most until the deadline, and close the database."""
        await asyncio.to_thread(self._recorder.stop, deadline_s)
        self.database.close()

    def record(self, record: DetectionRecord) -> None:
        """Note an image that was answered; never waits, never raises."""
        self._recorder.record(record)

    def audit(self, entry: AuditEntry) -> None:
        """Note a deed; never waits, never raises."""
        self._recorder.record(entry)

    def describe(self) -> dict[str, Any]:
        """How history is: for the health page and the metrics."""
        recorder = self._recorder
        return {
            "backend": self.database.backend,
            "state": recorder.state,
            "waiting": recorder.waiting,
            "dropped": recorder.dropped,
        }


def open_history(
    database_url: str | None,
    folder: Path,
    source: str,
    keeping: Keeping = DEFAULT_KEEPING,
    publish: Publish = unheard,
) -> History:
    """History in the database of a URL, else in ``folder/history.db``; ``publish`` is told when it goes and comes.

    Raises:
        DatabaseUrlError: a URL that can not be used.
    """
    url = database_url or f"sqlite:///{folder / 'history.db'}"
    return History(Database(url), source, keeping, publish)
