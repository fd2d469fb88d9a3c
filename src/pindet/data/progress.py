"""Progress of a long loop: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
logger = logging.getLogger(__name__)
_EVERY = 10.0
"""Seconds between two log lines."""


def shown(
    records: Iterable[T], what: str, total: int | None = None, counts: Callable[[T], bool] = lambda _: True
) -> Iterator[T]:
    """Yield ``records`` and show on stderr how many of ``total`` have passed.

    Args:
        records: what is passed on.
        what: names what is counted.
        total: how many of them there will be at most.
        counts: tells which records are counted.
    """
    if sys.stderr.isatty():
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            for record in records:
                yield record
                bar.advance(task, int(counts(record)))
            bar.update(task, total=bar.tasks[0].completed)
        return
    count, said = 0, time.monotonic()
    for record in records:
        yield record
        count += counts(record)
        if time.monotonic() - said >= _EVERY:
            said = time.monotonic()
            logger.info("%s: %d%s", what, count, f" of {total}" if total else "")
    logger.info("%s: %d, done", what, count)
