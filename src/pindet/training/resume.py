"""The state of a training after each epoch, so that a killed one goes on.

One file, ``epoch-0007.<digest>.ckpt``, written beside its place and then renamed; the digest in its name is of its
bytes. It says which training it belongs to.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from pindet.models.parallel import rank

logger = logging.getLogger(__name__)

PATTERN = "epoch-*.ckpt"
IDENTITY, COMPUTING = "identity", "computing"
RUNNING = "running"


@dataclass(frozen=True)
class ResumeState:
    """A verified state: its file, and what is in it."""

    path: Path
    content: dict[str, Any]

    def check_computing(self, computing: dict[str, int]) -> None:
        """Warn where it was computed with other numbers than these, which round otherwise."""
        before = self.content.get(COMPUTING, computing)
        changed = [f"{before[name]} {name} before, {now} now" for name, now in computing.items() if before[name] != now]
        if changed:
            logger.warning(
                "%s: the weights will differ in their last bits from those of a training that was not interrupted; "
                "OMP_NUM_THREADS and runtime.devices set these",
                "; ".join(changed),
            )


class ResumeWriter(Checkpoint):
    """Writes the state after every epoch, and removes the one before.

    Args:
        folder: where to.
        identity: which training it is: states of another are not gone on with.
        computing: numbers that rounding depends on, by name.
    """

    def __init__(self, folder: Path, identity: str, computing: dict[str, int]) -> None:
        self._folder = folder
        self._identity = identity
        self._computing = computing

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Sign the state."""
        del trainer, pl_module
        checkpoint[IDENTITY] = self._identity
        checkpoint[COMPUTING] = self._computing

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write; Lightning calls checkpoint callbacks after everything else that an epoch's end does.

        All processes take part in making the state, and the first writes it.
        """
        del pl_module
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / "writing.part"
        trainer.save_checkpoint(part)
        if not trainer.is_global_zero:
            return
        path = self._folder / f"epoch-{trainer.current_epoch:04d}.{_digest(part)}.ckpt"
        part.replace(path)
        for old in self._folder.glob(PATTERN):
            if old != path:
                old.unlink()


@contextlib.contextmanager
def unfinished(folder: Path, batch_size: int) -> Iterator[None]:
    """Leave a mark while a training runs, and say so where the one before was killed.

    That is how the system ends, without a word, what takes more memory than there is. Of several processes, the first
    does so.
    """
    if rank():
        yield
        return
    mark = folder / RUNNING
    if mark.exists():
        logger.warning(
            "the training before this one was killed; if the system did that because memory ran out (its log says "
            "so), lower training.batch_size, which is %d, or runtime.workers",
            batch_size,
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def find_resume_state(folder: Path, identity: str) -> ResumeState | None:
    """The latest usable state; one that is damaged or of another training is passed over with a warning."""
    for path in sorted(folder.glob(PATTERN), reverse=True):
        content = _read(path)
        if content is None:
            logger.warning("%s is damaged and is not used; what it held is trained anew", path)
        elif content.get(IDENTITY) != identity:
            logger.warning("%s belongs to another training and is not used", path)
        else:
            return ResumeState(path, content)
    return None


def _read(path: Path) -> dict[str, Any] | None:
    if path.name.split(".")[1] != _digest(path):
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
