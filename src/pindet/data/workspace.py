"""A place to write before renaming: an output is whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """Give a new empty folder beside ``output`` (whose parent is made), and remove it at the end.

    Folders that killed runs left behind are removed first. Each run has a name of its own, so a run that outlived its
    parent fails when it goes on, and can not write into the folder of the next.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{output.name}.tmp-"
    for left in output.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=output.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
