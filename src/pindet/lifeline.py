"""A stage does not outlive the `dvc` that started it: an orphan would write into the next run's files."""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from collections.abc import Sequence

import psutil  # type: ignore[import-untyped]  # ships no types

CHECKED_EVERY = 0.5
"""Seconds."""


def end_with_dvc() -> None:
    """Watch the line of processes up to `dvc` from now on, and end this one when it breaks.

    Called before a stage imports what takes seconds to import: from then on there is no moment without the watch.
    """
    if "DVC_STAGE" not in os.environ:
        return
    line = line_to_dvc()
    if is_orphan(line):
        os._exit(1)

    def watch() -> None:
        while is_unbroken(line):
            time.sleep(CHECKED_EVERY)
        os._exit(1)

    threading.Thread(target=watch, name="end with dvc", daemon=True).start()


def line_to_dvc() -> list[psutil.Process]:
    """This process and its ancestors up to `dvc`, the first that DVC did not tell the stage's name.

    The shell in between replaces itself by the stage or, as some do, stays; then it outlives its `dvc`.
    """
    line = [psutil.Process()]
    while (parent := line[-1].parent()) is not None:
        line.append(parent)
        try:
            if "DVC_STAGE" not in parent.environ():
                break
        except psutil.Error:  # another user's: no shell that DVC started
            break
    return line


def is_forced() -> bool:
    """Whether `dvc` was told to run the stage although nothing may have changed; not where DVC did not start it."""
    if "DVC_STAGE" not in os.environ:
        return False
    try:
        options = line_to_dvc()[-1].cmdline()
    except psutil.Error:
        return False
    return any(option == "--force" or re.fullmatch("-[fikmpPqRsv]*f[fikmpPqRsv]*", option) for option in options)


def is_orphan(line: Sequence[psutil.Process]) -> bool:
    """Whether the line ends at the system's first process, which takes in orphans and is no `dvc` itself."""
    last = line[-1]
    try:
        return last.pid == 1 and not any("dvc" in part for part in last.cmdline())
    except psutil.Error:
        return False


def is_unbroken(line: Sequence[psutil.Process]) -> bool:
    """Whether each is still the child of the next: who loses its parent is given another."""
    try:
        return all(child.ppid() == parent.pid for child, parent in itertools.pairwise(line))
    except psutil.NoSuchProcess:
        return False
