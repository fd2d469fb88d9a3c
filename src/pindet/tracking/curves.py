"""The curves of a training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import lightning

Row = Mapping[str, Any]


class Curves(lightning.Callback):
    """Passes on the history of a LightningModule while it grows.

    It stands in for the curves of MLflow's autologging, which sends from within the training (a hung server holds it
    up in every epoch) what ``trainer.callback_metrics`` says: undefined values too, and for a value that an epoch did
    not log, that of the epoch before.

    Args:
        log: takes rows with ``epoch``, counted from 0, and metrics by name. The module's attribute ``history`` is a
            list of such rows, which has that of an epoch once the next one starts or the training ends.
    """

    def __init__(self, log: Callable[[Sequence[Row]], None]) -> None:
        self._log = log
        self._passed_on = 0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._pass_on(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._pass_on(trainer, pl_module)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        del exception
        self._pass_on(trainer, pl_module)

    def _pass_on(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        history = cast(Sequence[Row], pl_module.history)
        if trainer.is_global_zero:
            self._log(history[self._passed_on :])
            self._passed_on = len(history)
