"""What a stage was given stays as it was until the stage ends.

DVC reads parameters and dependencies again after a stage, and records what it finds then. Whoever changes them
meanwhile (a second ``dvc exp run`` in the same folder composes ``params.yaml`` before DVC finds the folder busy) would
have results recorded with what they were not made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pindet.digests import files_below, stage_definition, tracked_params
from pindet.params import load_tree, unequal
from pindet.project import SCRATCH

RUNNING = SCRATCH / "stage.lock"
_SMALL = 1 << 20
"""Bytes up to which a file is known by its content; a larger one by its size and time."""
_NAMED = 3


class GivenChangedError(ValueError):
    """Parameters or dependencies changed while a stage ran; the message says which, and how to go on."""


@dataclass(frozen=True)
class Given:
    """Parameters and dependencies of a stage at one moment.

    Args:
        stage: its name in ``dvc.yaml``.
        params: the tracked parameters by ``file:key``.
        files: a mark of each file that the stage depends on, by path.
    """

    stage: str
    params: Mapping[str, Any]
    files: Mapping[str, str]

    @classmethod
    def now(cls, stage: str) -> Given:
        """Look at what the stage is given in the working directory."""
        definition = stage_definition(stage, Path())
        marks = {file.as_posix(): _mark(file) for dep in definition["deps"] for file in files_below(Path(dep))}
        return cls(stage, tracked_params(stage, Path()), marks)

    def check(self) -> None:
        """Compare with what is there now.

        Raises:
            GivenChangedError: something differs.
        """
        now = Given.now(self.stage)
        changed = [f"{key} {before!r} → {after!r}" for key, before, after in unequal(self.params, now.params)]
        paths = sorted(self.files.keys() | now.files.keys())
        changed += [path for path in paths if self.files.get(path) != now.files.get(path)]
        if changed:
            raise GivenChangedError(_message(self.stage, changed))


def check_as_begun(params: Path, dvc: str) -> None:
    """Hold the later stages of a run to the parameters of its first.

    Args:
        dvc: what tells the run from others: the process of its ``dvc``.

    Raises:
        GivenChangedError: ``params.yaml`` differs from what the first stage of the run found.
    """
    kept = SCRATCH / "run" / "params.yaml"
    whose = kept.with_name("dvc")
    if kept.is_file() and whose.is_file() and whose.read_text("utf-8") == dvc:
        changed = [f"{key} {old!r} → {new!r}" for key, old, new in unequal(load_tree(kept), load_tree(params))]
        if changed:
            raise GivenChangedError(_message("the pipeline", changed))
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(params.read_bytes())
    whose.write_text(dvc, "utf-8")


@contextmanager
def running() -> Iterator[None]:
    """Let :func:`check_nothing_runs` know; the processes of a stage that has several count as one."""
    RUNNING.parent.mkdir(exist_ok=True)
    lock = FileLock(RUNNING)
    with suppress(Timeout):
        lock.acquire(timeout=0)
    try:
        yield
    finally:
        lock.release()


def check_nothing_runs() -> None:
    """Refuse to change ``params.yaml`` below a stage.

    Raises:
        GivenChangedError: a stage runs in this folder.
    """
    if not RUNNING.parent.is_dir():
        return
    try:
        with FileLock(RUNNING).acquire(timeout=0):
            return
    except Timeout:
        raise GivenChangedError(
            "a stage is running in this folder, and params.yaml is what it was given; wait until it has ended, or try "
            "other settings beside it with `dvc exp run --temp -S …`"
        ) from None


def _mark(file: Path) -> str:
    if not file.is_file():
        return "missing"
    seen = file.stat()
    if seen.st_size > _SMALL:
        return f"{seen.st_size} {seen.st_mtime_ns}"
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def _message(what: str, changed: list[str]) -> str:
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return (
        f"while {what} ran this changed: {', '.join(changed[:_NAMED])}{more}. DVC would record it with results that "
        "were made from what was there before, so nothing is recorded. Restore it and run again (a training goes on "
        "where it was), or keep it and run with that. One run at a time in a folder: others with `dvc exp run --temp` "
        "or `--queue`"
    )
