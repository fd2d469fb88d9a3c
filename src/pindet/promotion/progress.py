"""How far a long step is: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

_T = TypeVar("_T")
_LINES = 5


def each(items: Sequence[_T], what: str) -> Iterator[_T]:
    """Yield the items, and say on the standard error how many are done."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console, transient=True) as progress:
            yield from progress.track(items, description=what)
        return
    for number, item in enumerate(items, 1):
        yield item
        if len(items) >= _LINES and number * _LINES // len(items) != (number - 1) * _LINES // len(items):
            sys.stderr.write(f"{what}: {number} of {len(items)}\n")
