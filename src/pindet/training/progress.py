"""What a training says of itself while it runs: to the terminal, and to whoever else listens."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

logger = logging.getLogger(__name__)

TOLD_EVERY = 2.0
"""Seconds between two reports within an epoch."""

Report = Mapping[str, float | int | None]
"""``epoch`` (the one at work, from 1) of ``epochs``, ``epochs_done``, ``step`` of ``steps`` of the whole training,
``loss`` of the last step (of the epoch, at its end), ``map`` of the last validation, ``images_per_second`` of this
epoch's steps, ``seconds_left`` to the end of the training. What is not known yet is ``None``."""
Listener = Callable[[Report], None]


class TrainingProgress(lightning.Callback):
    """A bar over the whole training where there is a terminal, a line an epoch where there is none.

    Nothing of it is a result: speed and time left differ from run to run.

    Args:
        listeners: each is called with a report every :data:`TOLD_EVERY` seconds and at the end of each epoch.
    """

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = listeners
        self._bar: Progress | None = None
        self._images = self._first_step = 0
        self._speed = self._began = self._epoch_began = self._told = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        del pl_module
        self._began, self._first_step = time.monotonic(), trainer.global_step
        if sys.stderr.isatty() and trainer.is_global_zero:
            text = TextColumn("{task.description}", markup=False)
            self._bar = Progress(BarColumn(), text, console=Console(stderr=True), transient=True)
            self._bar.add_task("training", total=_steps(trainer), completed=trainer.global_step)
            self._bar.start()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        del trainer, pl_module
        self._images, self._epoch_began = 0, time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        del pl_module, batch_idx
        now = time.monotonic()
        self._images += len(batch.targets) * trainer.world_size  # shares differ by one image at most
        self._speed = self._images / max(now - self._epoch_began, 1e-9)
        if self._bar is None and now - self._told < TOLD_EVERY:
            return  # without a bar nobody reads the loss of every step
        report = self._report(trainer, float(outputs["of_batch"]), trainer.current_epoch)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, description=_line(report))
        if now - self._told >= TOLD_EVERY:
            self._tell(trainer, report)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        del pl_module
        loss = trainer.callback_metrics.get("train/loss")
        report = self._report(trainer, None if loss is None else float(loss), trainer.current_epoch + 1)
        if (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1):
            report = {**report, "map": None}  # that of an earlier epoch is not this one's
        self._tell(trainer, report)
        if trainer.is_global_zero:
            logger.info("%s", _line(report))

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        del trainer, pl_module, stage
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _report(self, trainer: lightning.Trainer, loss: float | None, epochs_done: int) -> Report:
        step, steps = trainer.global_step, _steps(trainer)
        pace = (time.monotonic() - self._began) / max(step - self._first_step, 1)
        measured = trainer.callback_metrics.get("val/map")
        return {
            "epoch": trainer.current_epoch + 1,
            "epochs": trainer.max_epochs,
            "epochs_done": epochs_done,
            "step": step,
            "steps": steps,
            "loss": loss,
            "map": None if measured is None else float(measured),
            "images_per_second": self._speed,
            "seconds_left": pace * (steps - step),
        }

    def _tell(self, trainer: lightning.Trainer, report: Report) -> None:
        self._told = time.monotonic()
        if trainer.is_global_zero:
            for listener in self._listeners:
                listener(report)


def _steps(trainer: lightning.Trainer) -> int:
    return int(trainer.num_training_batches) * int(trainer.max_epochs or 0)


def _line(report: Report) -> str:
    parts = [f"{name} {report[key]:.3f}" for key, name in (("loss", "loss"), ("map", "mAP")) if report[key] is not None]
    parts.append(f"{report['images_per_second']:.0f} images/s")
    parts.append(f"{_duration(report['seconds_left'] or 0)} left")
    return f"epoch {report['epoch']} of {report['epochs']}: {', '.join(parts)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
