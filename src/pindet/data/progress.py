"""Progress of a long loop: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
logger = logging.getLogger(__name__)
_EVERY = 10.0
"""Seconds between two log lines."""


def shown(records: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield ``records`` and show on stderr how many of ``total`` have passed; ``what`` names them."""
    if sys.stderr.isatty():
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            yield from bar.track(records, total=total, description=what)
        return
    count, said = 0, time.monotonic()
    for count, record in enumerate(records, start=1):
        yield record
        if time.monotonic() - said >= _EVERY:
            said = time.monotonic()
            logger.info("%s: %d%s", what, count, f" of {total}" if total else "")
    logger.info("%s: %d, done", what, count)
