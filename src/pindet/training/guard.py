"""Stops a training that has left the path: at the first bad step, with the batch of that step named and kept."""

from __future__ import annotations

import math
import shutil
import statistics
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn

from pindet.files import write_json
from pindet.models.parallel import gathered, rank
from pindet.training.samples import Batch
from pindet.training.settings import TrainingSettings

EXPLODED = 100.0
"""A loss so many times that of the beginning and that of the last steps does not come back."""
KNOWN_AFTER, RECENT = 20, 100
"""Steps after which an ordinary loss is known, and how many of the last ones say what is ordinary now."""

CPU = torch.device("cpu")

NamesOf = Callable[[int], list[str]]
"""The names of the images of a batch, by its number in the present epoch."""


class TrainingDivergedError(ValueError):
    """The loss or its gradient is no number any more, or explodes; the message says when, where and what to try."""


class Guard:
    """Looks at each step's loss and gradient.

    Where several processes train, both are those of the whole batch, so that all of them stop or none; the first keeps
    the images of all.

    Args:
        settings: of the training, for the advice.
        folder: where the batch of a bad step is kept; one that is there is replaced.
        names_of: names the images of a batch.
    """

    def __init__(self, settings: TrainingSettings, folder: Path, names_of: NamesOf) -> None:
        self._settings = settings
        self._folder = folder
        self._names_of = names_of
        self._first: list[float] = []
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._step: tuple[Batch, int, dict[str, float]] | None = None

    def state(self) -> dict[str, list[float]]:
        """What it knows of ordinary losses, for :meth:`restore`."""
        return {"first": list(self._first), "recent": list(self._recent)}

    def restore(self, state: Mapping[str, list[float]]) -> None:
        """Know what a guard knew, so that a training that goes on is judged as one that was not interrupted."""
        self._first, self._recent = list(state["first"]), deque(state["recent"], maxlen=RECENT)

    def check_loss(self, losses: Mapping[str, Tensor], total: Tensor, batch: Batch, number: int) -> None:
        """Look at a loss before its gradient is computed.

        Args:
            losses: its parts, of the whole batch.
            total: their sum.
            batch: this process's share of what it is of, and ``number``, which batch of the epoch that is.

        Raises:
            TrainingDivergedError: it is not finite, or explodes.
        """
        value = total.item()
        is_bad = self._is_bad(value)
        self._step = (batch, number, {name: part.item() for name, part in losses.items()} if is_bad else {})
        if not math.isfinite(value):
            raise self._stop("the loss is not finite")
        if is_bad:
            raise self._stop(f"the loss explodes: {value:g}, where {self._ordinary():g} is ordinary")
        if len(self._first) < KNOWN_AFTER:
            self._first.append(value)
        self._recent.append(value)

    def check_gradient(self, model: nn.Module) -> None:
        """Look at the gradients that the loss of the last :meth:`check_loss` gave.

        Raises:
            TrainingDivergedError: one is not finite.
        """
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        if self._step is not None and not torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
            named = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
            raise self._stop(f"the gradient is not finite, first in {named[0] if named else 'its length'}")

    def _is_bad(self, value: float) -> bool:
        return not math.isfinite(value) or (len(self._first) == KNOWN_AFTER and value > EXPLODED * self._ordinary())

    def _ordinary(self) -> float:
        return max(statistics.median(self._first), statistics.median(self._recent))

    def _stop(self, what: str) -> TrainingDivergedError:
        assert self._step is not None
        batch, number, parts = self._step
        names = self._names_of(number)
        everything = gathered(Batch(batch.epoch, batch.images.cpu(), [target.to(CPU) for target in batch.targets]))
        if rank() == 0:
            self._keep(_joined(everything), number, parts, names)
        said = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        precision = ", or training.precision=fp32" if self._settings.precision == "bf16" else ""
        return TrainingDivergedError(
            f"{what} in epoch {batch.epoch}, step {number}{f' ({said})' if said else ''}, on {', '.join(names)}; that "
            f"batch is in {self._folder}: if it is in order, try a lower training.lr (now {self._settings.lr:g}), a "
            f"longer training.warmup{precision}"
        )

    def _keep(self, batch: Batch, number: int, parts: dict[str, float], names: list[str]) -> None:
        """Write the batch as the model saw it: a PNG per image, and ``batch.json`` with its objects."""
        part = self._folder.with_name(f".{self._folder.name}.tmp")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        images = []
        for position, (pixels, target, name) in enumerate(zip(batch.images, batch.targets, names, strict=True)):
            file = f"{position:03d}.png"
            (part / file).write_bytes(cv2.imencode(".png", pixels.permute(1, 2, 0).numpy()[..., ::-1])[1].tobytes())
            objects = {"boxes": target.boxes.tolist(), "labels": target.labels.tolist()}
            images.append({"file": file, "name": name} | objects)
        # JSON knows no infinity and no NaN.
        losses = {name: value if math.isfinite(value) else str(value) for name, value in parts.items()}
        write_json(part / "batch.json", {"epoch": batch.epoch, "step": number, "losses": losses, "images": images})
        shutil.rmtree(self._folder, ignore_errors=True)
        part.rename(self._folder)


def _joined(shares: list[Batch]) -> Batch:
    images = torch.cat([share.images for share in shares])
    return Batch(shares[0].epoch, images, [target for share in shares for target in share.targets])
