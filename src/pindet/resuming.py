"""The folders of resume states: one training at a time in each, kept until DVC has recorded what came of it.

A training that has ended leaves its last state, because the stage may yet be killed before DVC has written its outs
into ``dvc.lock``. The stage after it removes that state: DVC starts it only then.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pindet.digests import dvc_md5
from pindet.project import scratch

logger = logging.getLogger(__name__)

FINISHED = "finished"
"""The file in a folder that holds DVC's md5 of the weights that came of its training, and what they were made with."""


class TrainedElsewhereError(ValueError):
    """The same training goes on in another process; the message says what to do."""


def resume_folder(key: str) -> Path:
    """Return the folder of the training that was given what a stage key stands for."""
    return scratch("resume", key)


@contextmanager
def sole_training(folder: Path, *, waits: bool = True) -> Iterator[None]:
    """Be the only one who trains with the state in a folder; wait for another, as experiments in a queue may be.

    Args:
        waits: or fail at once.

    Raises:
        TrainedElsewhereError: another does, and this one does not wait.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not waits:
            raise TrainedElsewhereError(
                "another process trains with the same data, code and parameters; wait until it has ended"
            ) from None
        logger.info("another process trains with the same data, code and parameters; waiting until it has ended")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def training_finished(folder: Path, weights: Path, made_with: str) -> None:
    """Say which weights came of the training whose state is in a folder, and what computed them."""
    (folder / FINISHED).write_text(f"{dvc_md5(weights)}\n{made_with}\n", encoding="utf-8")


def forget_finished(folder: Path, made_with: str | None) -> None:
    """Remove what a training that has ended left, unless it computed with the same; ``None``: in any case."""
    if (left := _finished(folder / FINISHED)) and made_with not in left[1:]:
        shutil.rmtree(folder)


def remove_finished(md5: str, *, besides: Path | None = None) -> None:
    """Remove the states of trainings whose weights DVC has recorded, but where another process goes on with one.

    Args:
        md5: DVC's, of the weights.
        besides: a folder that stays.
    """
    for mark in scratch("resume").glob(f"*/{FINISHED}"):
        if mark.parent == besides or _finished(mark)[:1] != [md5]:
            continue
        lock = _lock(mark.parent)
        with suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(mark.parent, ignore_errors=True)
            Path(lock.lock_file).unlink()


def _finished(mark: Path) -> list[str]:
    """The lines of a mark; none where there is no mark, any more."""
    try:
        return mark.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _lock(folder: Path) -> FileLock:
    return FileLock(folder.with_suffix(".lock"))
