"""The curves of a training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning

Log = Callable[[Mapping[str, float], int], None]


class Curves(lightning.Callback):
    """Passes on what a LightningModule logged during an epoch.

    It stands in for the curves of MLflow's autologging, which sends from within the training (a hung server holds it
    up in every epoch) and sends undefined values.

    Args:
        log: takes the metrics and the epoch, counted from 0.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        del pl_module
        if trainer.is_global_zero and not trainer.sanity_checking:
            metrics: dict[str, Any] = {key: float(value) for key, value in trainer.callback_metrics.items()}
            self._log(metrics, trainer.current_epoch)
