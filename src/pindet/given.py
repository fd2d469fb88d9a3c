"""What a stage was given stays as it was until the stage ends.

DVC reads parameters and dependencies again after a stage, and records what it finds then. Whoever changes them
meanwhile (a second ``dvc exp run`` in the same folder composes ``params.yaml`` before DVC finds the folder busy) would
have results recorded with what they were not made from.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from omegaconf.errors import OmegaConfBaseException

from pindet.digests import files_below, stage_definition
from pindet.params import load_params, load_tree, unequal
from pindet.project import PARAMS, SCRATCH

RUNNING = SCRATCH / "stage.lock"
PASSES_WITHIN = 3.0
"""Seconds: ``dvc exp run --queue`` and ``--temp`` take the folder's changes away for a moment and bring them back."""
_UNTRACKED = ("tracking", "runtime")
_SMALL = 1 << 20
"""Bytes up to which code is known by its content."""
_NAMED = 3


class GivenChangedError(ValueError):
    """Parameters or dependencies changed while a stage ran; the message says which, and how to go on."""


@dataclass(frozen=True)
class Given:
    """Parameters and dependencies of a stage at one moment.

    Args:
        stage: its name in ``dvc.yaml``.
        text: ``params.yaml``.
        params: the tracked parameters by ``file:key``.
        deps: the paths that it depends on.
        files: a mark of each file of them, by path.
    """

    stage: str
    text: str
    params: Mapping[str, Any]
    deps: tuple[str, ...]
    files: Mapping[str, str]

    @classmethod
    def now(cls, stage: str) -> Given:
        """Look at what the stage is given in the working directory."""
        text = PARAMS.read_text("utf-8")
        definition = stage_definition(stage, Path())
        deps = tuple(definition["deps"])
        return cls(stage, text, definition["params"], deps, _marks(deps))

    def check(self) -> None:
        """Compare with what is there now.

        Raises:
            GivenChangedError: something differs, and does so for :data:`PASSES_WITHIN`.
        """
        _hold(self.stage, self._changed)

    def check_as_begun(self, dvc: str) -> None:
        """Hold the later stages of a run to the parameters of its first.

        Args:
            dvc: what tells the run from others: the process of its ``dvc``.

        Raises:
            GivenChangedError: ``params.yaml`` differs from what the first stage of the run found.
        """
        kept = SCRATCH / "run" / "params.yaml"
        whose = kept.with_name("dvc")
        if kept.is_file() and whose.is_file() and whose.read_text("utf-8") == dvc:
            begun = _tracked(load_tree(kept))
            _hold("the pipeline", lambda: _said(begun, _tracked(load_tree(PARAMS))))
            return
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(self.text, "utf-8")
        whose.write_text(dvc, "utf-8")

    def _changed(self) -> list[str]:
        files = _marks(self.deps)
        paths = sorted(self.files.keys() | files.keys())
        changed = _said(self.params, stage_definition(self.stage, Path())["params"])
        return changed + [path for path in paths if self.files.get(path) != files.get(path)]


_BEGUN: list[Given | Exception] = []


def begin() -> None:
    """Look at what the stage that DVC started in this process is given, for :func:`begun`."""
    if "DVC_STAGE" not in os.environ:
        return
    try:
        _BEGUN[:] = [Given.now(os.environ["DVC_STAGE"])]
    except (ValueError, OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        _BEGUN[:] = [error]  # for the stage to say


def begun() -> Given | None:
    """What the stage of this process was given when it began; None where DVC did not start it.

    Raises:
        ValueError, OSError: parameters or dependencies cannot be read.
    """
    found = _BEGUN[0] if _BEGUN else None
    if isinstance(found, Exception):
        load_params(PARAMS)  # says better what is wrong with them
        raise found
    return found


@contextmanager
def running() -> Iterator[None]:
    """Let :func:`check_nothing_runs` know; the processes of a stage that has several count as one."""
    RUNNING.parent.mkdir(exist_ok=True)
    lock = FileLock(RUNNING)
    with suppress(Timeout):
        lock.acquire(timeout=0 if "RANK" in os.environ else 1)  # who asks whether a stage runs holds it for a moment
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
            "a stage is running in this folder, and params.yaml is what it was given; wait until it has ended, or work "
            "in another clone"
        ) from None


def _hold(what: str, changed: Callable[[], list[str]]) -> None:
    """Look until nothing has changed, or no longer."""
    until = time.monotonic() + PASSES_WITHIN
    while found := _or_why_not(changed):
        if time.monotonic() > until:
            raise GivenChangedError(_message(what, found))
        time.sleep(0.2)


def _or_why_not(changed: Callable[[], list[str]]) -> list[str]:
    try:
        return changed()
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:  # half written, or away
        return [f"{type(error).__name__}: {error}"]


def _said(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [f"{key} {old!r} → {new!r}" for key, old, new in unequal(before, after)]


def _tracked(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {group: value for group, value in tree.items() if group not in _UNTRACKED}


def _marks(deps: tuple[str, ...]) -> dict[str, str]:
    return {file.as_posix(): _mark(file, file == Path(dep)) for dep in deps for file in files_below(Path(dep))}


def _mark(file: Path, is_named: bool) -> str:
    """Code by its content; data, which may be a great many files, by size and time."""
    if not file.is_file():
        return "missing"
    seen = file.stat()
    if (is_named or file.suffix == ".py") and seen.st_size <= _SMALL:
        return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    return f"{seen.st_size} {seen.st_mtime_ns}"


def _message(what: str, changed: list[str]) -> str:
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return (
        f"while {what} ran this changed: {', '.join(changed[:_NAMED])}{more}. DVC would record it with results that "
        "were made from what was there before, so nothing is recorded. Restore it and run again (a training goes on "
        "where it was), or keep it and run with that. While a run is going on in a folder, leave its files alone: "
        "queue experiments before it, or work in another clone"
    )
