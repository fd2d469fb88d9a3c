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
"""The file in a folder that holds DVC's md5 of the weights that came of its training."""


def resume_folder(key: str) -> Path:
    """Return the folder of the training that was given what a stage key stands for."""
    return scratch("resume", key)


@contextmanager
def sole_training(folder: Path, *, anew: bool) -> Iterator[None]:
    """Be the only one who trains with the state in a folder; wait for another, as experiments in a queue may be.

    Args:
        anew: remove what a training that has ended left.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process trains with the same data, code and parameters; waiting until it has ended")
        lock.acquire()
    try:
        if anew and (folder / FINISHED).exists():
            shutil.rmtree(folder)
        yield
    finally:
        lock.release()


def training_finished(folder: Path, weights: Path) -> None:
    """Say which weights came of the training whose state is in a folder."""
    (folder / FINISHED).write_text(dvc_md5(weights), encoding="utf-8")


def remove_finished(weights: Path) -> None:
    """Remove the state of trainings that these weights came of, but where another process goes on with it."""
    md5 = dvc_md5(weights)
    for mark in scratch("resume").glob(f"*/{FINISHED}"):
        if mark.read_text(encoding="utf-8") != md5:
            continue
        lock = _lock(mark.parent)
        with suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(mark.parent, ignore_errors=True)
            Path(lock.lock_file).unlink()


def _lock(folder: Path) -> FileLock:
    return FileLock(folder.with_suffix(".lock"))
