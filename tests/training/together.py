"""A training by several processes, started as the stage starts them: ``together.py ARGUMENTS RESULT``, both pickled."""

import os
import pickle
import sys
from pathlib import Path

import lightning
import torch

from pindet.models.pindet import Pindet
from pindet.training.launch import run_ranks
from pindet.training.ranks import is_first, one_voice, starts_others


class FirstGradients(lightning.Callback):
    """Keeps the gradients of the first step."""

    def __init__(self):
        self.kept = {}

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        del trainer, optimizer
        if not self.kept:
            gradients = {name: parameter.grad for name, parameter in pl_module.model.named_parameters()}
            self.kept = {name: value.clone() for name, value in gradients.items() if value is not None}


def spoil() -> None:
    """Make the last process's loss no number in the third step."""
    plain, steps = Pindet.loss, []

    def broken(self, images, targets):
        steps.append(1)
        factor = float("nan") if len(steps) == 3 and not is_first() else 1.0
        return {name: value * factor for name, value in plain(self, images, targets).items()}

    Pindet.loss = broken


def main(given: Path, result: Path) -> None:
    positional, keywords = pickle.loads(given.read_bytes())
    if starts_others(keywords["runtime"]):
        run_ranks(keywords["runtime"].devices)
        return
    from pindet.training.train import train  # slow to import: only for those who train

    torch.set_num_threads(1)
    if "SPOILED" in os.environ:
        spoil()
    first = FirstGradients()
    with one_voice():
        made = train(*positional, **keywords, callbacks=[first])
    if is_first():
        result.write_bytes(pickle.dumps((made, first.kept)))


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"{type(error).__name__}: {error}")
