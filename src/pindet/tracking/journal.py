"""What a run has to tell, on disk before it is sent: a server that goes away costs nothing but time."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_MOST_ROWS = 50


class Journal:
    """A file of JSON lines, each an entry ``{"kind": …, …}``, after a header that says where they belong.

    Entries of the kind ``metrics`` have ``rows``, each with ``values`` by name, ``step`` and ``timestamp`` (ms).

    Args:
        path: the ``.jsonl`` file; a journal that is there already is continued. A folder of the same name without
            the suffix holds copies of files to send, which may be gone from their place by then.
        header: written to a new file.
    """

    def __init__(self, path: Path, header: Entry | None = None) -> None:
        self.path = path
        self.files = path.with_suffix("")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(header or {})
        elif not path.read_bytes().endswith(b"\n"):  # its writer was killed within a line
            with path.open("ab") as file:
                file.write(b"\n")

    @property
    def header(self) -> Entry:
        with self.path.open(encoding="utf-8") as file:
            return dict(json.loads(file.readline()))

    def append(self, kind: str, **fields: Any) -> None:
        """Add an entry."""
        self._write({"kind": kind, **fields})

    def append_files(self, source: Path, artifact_path: str) -> None:
        """Add a copy of a file or of a folder's content, to stand under ``artifact_path`` of the run."""
        target = self.files / artifact_path
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        self.append("files", folder=str(target), artifact_path=artifact_path)

    def entries(self, start: int = 0) -> Iterator[tuple[Entry, int]]:
        """Yield each whole entry from byte ``start`` on, with the byte that follows it."""
        with self.path.open("rb") as file:
            file.seek(start)
            while (line := file.readline()).endswith(b"\n"):
                entry = _parse(line)
                if "kind" in entry:
                    yield entry, file.tell()

    def remove(self) -> None:
        """Delete the journal and its files; all of it has arrived."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.files, ignore_errors=True)

    def _write(self, entry: Entry) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class Sender:
    """Sends a journal's entries in the background, in order, again and again until the store takes them.

    Args:
        journal: what to send; entries may be added while it is sent.
        send: sends one entry; an exception means that it has not arrived.
    """

    def __init__(self, journal: Journal, send: Callable[[Entry], None]) -> None:
        self._journal = journal
        self._send = send
        self._position = 0
        self._wake = threading.Event()
        self._finishing = threading.Event()
        self._last_error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="tracking-sender", daemon=True)
        self._thread.start()

    @property
    def last_error(self) -> Exception | None:
        """Why the latest attempt failed."""
        return self._last_error

    def wake(self) -> None:
        """Say that there is more to send."""
        self._wake.set()

    def finish(self, seconds: float) -> bool:
        """Try once more, and return whether everything has arrived. The thread ends with it.

        Args:
            seconds: how long to wait for the next entry to arrive; ten times as long for all of them.
        """
        self._finishing.set()
        self._wake.set()
        for _ in range(10):
            before = self._position
            self._thread.join(seconds)
            if not self._thread.is_alive() or self._position == before:
                break
        return not self._thread.is_alive() and self._drained()

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            self._wake.clear()  # before the look at the end, whose signal would otherwise be lost in between
            last_time = self._finishing.is_set()
            sent = self._send_all()
            if last_time:
                return
            if sent:
                pause = _FIRST_PAUSE
                self._wake.wait()
            else:  # whatever is added meanwhile, a store that has failed is left in peace until the run ends
                self._finishing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _send_all(self) -> bool:
        for entry, after in _merged(self._journal.entries(self._position)):
            try:
                self._send(entry)
            except Exception as error:
                if self._last_error is None:
                    logger.warning("the tracking store does not answer; what it misses is kept and sent later")
                self._last_error = error
                return False
            self._position = after
        if self._last_error is not None:
            logger.info("the tracking store is back; it has what it missed")
            self._last_error = None
        return True

    def _drained(self) -> bool:
        return next(self._journal.entries(self._position), None) is None


def _merged(entries: Iterator[tuple[Entry, int]]) -> Iterator[tuple[Entry, int]]:
    """Make one entry of metrics that follow each other: a request each would take a slow store long."""
    held: tuple[Entry, int] | None = None
    for entry, after in entries:
        if held and held[0]["kind"] == entry["kind"] == "metrics" and len(held[0]["rows"]) < _MOST_ROWS:
            held = ({"kind": "metrics", "rows": held[0]["rows"] + entry["rows"]}, after)
            continue
        if held:
            yield held
        held = (entry, after)
    if held:
        yield held


def _parse(line: bytes) -> Entry:
    try:
        return dict(json.loads(line))
    except ValueError:  # cut off when its writer was killed
        return {}
