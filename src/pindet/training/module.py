"""The Lightning shell: what happens at each step and epoch of a training."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pindet_serve.detections import Detections
from torch import Tensor

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.metrics import coco_metrics
from pindet.models.contract import DetectionModel
from pindet.models.parallel import computed_once, gathered, mean_over_ranks
from pindet.models.postprocess import Postprocess, select
from pindet.models.predictor import to_batch, to_detections
from pindet.training.averaging import Averaged
from pindet.training.guard import Guard
from pindet.training.samples import Batch, Fitted
from pindet.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

VALIDATION = Postprocess(nms_iou_threshold=0.6, max_detections=100)
"""Only compares epochs with each other; the evaluation stage has its own."""
REPORTED = ("map", "map_50", "map_75")
LAST_LR = 0.01
"""Learning rate of the last step, as a share of the highest."""

Row = dict[str, float | None]
"""One epoch of the history; ``None`` is an undefined value."""


class DetectionTraining(lightning.LightningModule):
    """Trains a model, follows it with averaged weights, validates those and remembers the best.

    Args:
        model: initialised.
        settings: how to train.
        val: what to validate on.
        guard: looks at each step.
        steps: optimiser steps of the whole training.
        seed: of what is random inside the model.

    Attributes:
        history: one row per finished epoch.
        best: the averaged weights with the highest ``val/map`` so far; of the last epoch where there is none.
        is_over: all epochs are done, or the patience is at its end.
    """

    def __init__(
        self,
        model: DetectionModel,
        settings: TrainingSettings,
        val: PreparedSplit,
        guard: Guard,
        *,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.averaged = Averaged(model, settings.ema_decay)
        self.history: list[Row] = []
        self.best: dict[str, Tensor] = {}
        self._best_map = -math.inf
        self._without_better = 0
        self._settings = settings
        self._val = val
        self._guard = guard
        self._steps = steps
        self._seed = seed
        self._found: list[Detections] = []
        self._measured: dict[str, float] = {}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW (Loshchilov & Hutter, ICLR 2019) under a rise and a cosine fall of the learning rate."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self._settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self._settings.lr)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a training batch; validation images are stacked, and moved, where they are used."""
        del dataloader_idx
        if not isinstance(batch, Batch):
            return batch
        targets = [target.to(device) for target in batch.targets]
        return Batch(batch.epoch, batch.images.to(device, non_blocking=True), targets)

    def on_train_epoch_start(self) -> None:
        """Make what is random inside the model a function of seed and epoch; see that the last one is validated."""
        torch.manual_seed(self._seed * 1_000_003 + self.current_epoch)
        if self.current_epoch == self._settings.epochs - 1:
            self.trainer.check_val_every_n_epoch = 1
        self._measured = {}

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """One step; the guard fails on a loss that is no number or explodes.

        Returns:
            ``loss``, whose gradient is this process's part, and ``of_batch``, the same of the whole batch.
        """
        assert batch.epoch == self.current_epoch, "the sampler is not at the epoch that Lightning is at"
        losses = self.model.loss(batch.images, batch.targets)
        total = torch.stack(list(losses.values())).sum()
        values = {"train/loss": total.detach()} | {f"train/{name}": loss.detach() for name, loss in losses.items()}
        values = mean_over_ranks(values)
        of_batch = values.pop("train/loss")
        parts = {name.removeprefix("train/"): value for name, value in values.items()}
        self._guard.check_loss(parts, of_batch, batch, batch_idx)
        size = len(batch.targets)
        self.log("train/loss", of_batch, on_step=False, on_epoch=True, batch_size=size)
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=size)
        return {"loss": total, "of_batch": of_batch}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Fail on a gradient that is no number, before it is in every weight."""
        del optimizer
        self._guard.check_gradient(self.model)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the average follow."""
        super().optimizer_step(*args, **kwargs)
        self.averaged.update(self.model, self.global_step)

    def validation_step(self, batch: Sequence[Fitted], batch_idx: int) -> None:
        """Detections of the averaged weights, on this process's part of the images."""
        del batch_idx
        if not batch:
            return
        images = to_batch([fitted.image for fitted in batch]).to(self.device)
        selections = select(*self.averaged.model.candidates(images), VALIDATION.of(self.model))
        self._found += [to_detections(s, fitted.placement) for s, fitted in zip(selections, batch, strict=True)]

    def on_validation_epoch_end(self) -> None:
        """Measure, and keep the best weights."""
        found = [detections for part in gathered(self._found) for detections in part]
        self._found = []
        measured = computed_once(lambda: coco_metrics(self._val, found))
        self._measured = {f"val/{name}": measured[name] for name in REPORTED if name in measured}
        self.log_dict({name: torch.tensor(value) for name, value in self._measured.items()})
        quality = measured.get("map", -math.inf)
        self._without_better += 1
        if quality > self._best_map or quality == -math.inf:
            self._best_map, self.best = quality, self.averaged.weights()
            self._without_better = 0
        if self._is_patience_over:
            logger.info("ending early: the last %d validations brought no better val/map", self._without_better)
            self.trainer.should_stop = True

    def on_train_epoch_end(self) -> None:
        """Write the epoch into the history."""
        lr = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        self.log("lr", torch.tensor(lr))
        trained = {k: float(v) for k, v in self.trainer.callback_metrics.items() if k.startswith("train/")}
        measured = {f"val/{name}": self._measured.get(f"val/{name}") for name in REPORTED}
        self.history.append({"epoch": self.current_epoch, "lr": lr} | trained | measured)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history, the best weights and what the guard knows."""
        checkpoint["history"] = self.history
        checkpoint["guard"] = self._guard.state()
        checkpoint["best"] = {"map": self._best_map, "weights": self.best, "without_better": self._without_better}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self.history = list(checkpoint["history"])
        self._guard.restore(checkpoint["guard"])
        best = checkpoint["best"]
        self._best_map, self.best, self._without_better = best["map"], dict(best["weights"]), best["without_better"]

    def train(self, mode: bool = True) -> DetectionTraining:
        """Training mode for all but the averaged model."""
        super().train(mode)
        self.averaged.eval()
        return self

    @property
    def is_over(self) -> bool:
        return len(self.history) == self._settings.epochs or self._is_patience_over

    @property
    def _is_patience_over(self) -> bool:
        return 0 < self._settings.patience <= self._without_better

    def _lr_share(self, step: int) -> float:
        rise = self._settings.warmup * self._steps
        if step < rise:
            return (step + 1) / (rise + 1)
        done = min(1.0, (step - rise) / max(1.0, self._steps - rise))
        return LAST_LR + (1 - LAST_LR) * (1 + math.cos(math.pi * done)) / 2
