"""How far a long step is: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

_T = TypeVar("_T")
_LINES = 5


def each(items: Sequence[_T], what: str, *, silent_s: float = 0.0) -> Iterator[_T]:
    """Yield the items, and say on the standard error how many are done.

    Args:
        silent_s: seconds in which no line is written: what is done by then needs none.
    """
    started, console = time.monotonic(), Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console, transient=True) as progress:
            yield from progress.track(items, description=what)
        return
    for number, item in enumerate(items, 1):
        yield item
        is_due = len(items) >= _LINES and time.monotonic() - started >= silent_s
        if is_due and number * _LINES // len(items) != (number - 1) * _LINES // len(items):
            sys.stderr.write(f"{what}: {number} of {len(items)}\n")
