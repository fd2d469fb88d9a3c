"""Structured logs: one JSON object a line, with the request that it belongs to."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

# JSON leaves these as they are, and much that reads logs ends a line at them.
_LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; fields given as ``extra={"fields": {…}}`` become members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in (("request_id", request_id.get()), ("trace_id", trace_id.get())):
            if value:
                entry[name] = value
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str).translate(_LINE_ENDS)


class LineHandler(logging.Handler):
    """Writes each record as a whole line of UTF-8, whatever the locale, in one piece.

    A text stream cuts long lines at its buffer's size: what others write to the same file then falls between, and
    a collector that follows the file sees a half.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; one that can not be written is lost, never what the server is doing."""
        try:
            # A lone surrogate becomes its escape, which JSON allows.
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            while line:
                line = line[os.write(self._descriptor, line) :]
        except Exception:
            self.handleError(record)


def configure(level: str) -> None:
    """Send all that this process has to say to standard error as JSON, from ``level`` on."""
    # What no line shows need not be looked up for each: it takes as long as all the rest.
    logging._srcfile = None  # as Python's guide to logging has it
    for looked_up in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, looked_up, False)
    logging.raiseExceptions = False  # its report of a failed write is no JSON, and goes to where writing failed
    handler = LineHandler(sys.stderr.fileno())
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _log_exception


def _log_exception(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "?"
    logging.getLogger(__name__).error("thread %s ended", name, exc_info=ended.exc_value)
