"""What Lightning's loop costs over a bare one, and whether the loader keeps up.

    PYTHONPATH=src:serve python benchmarks/training.py --images 160

trains the default model on generated parts, in this one run and in turns, so that what else the machine does meets
both:

- a bare loop: zero, loss, backward, clip, step, learning rate, averaged weights;
- :func:`pindet.training.train.train`, which is Lightning, resume state and progress included, validation left out;
- the share of a bare step that waits for the next batch.

Prints JSON; ``lightning_over_bare`` is the ratio of the two medians. With ``--vary`` it compares settings instead: the
bare loop with each of them changed, in turns with the default, as ratios of the medians of a step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from pindet_serve.letterbox import Letterbox

from pindet.compose import compose_into
from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.models.contract import DetectionModel
from pindet.params import Params, load_params
from pindet.training.averaging import Averaged
from pindet.training.compiling import compile_parts
from pindet.training.guard import Guard
from pindet.training.memory import keep_freed_memory
from pindet.training.module import DetectionTraining
from pindet.training.precision import precision_on
from pindet.training.samples import TrainingSamples, training_loader
from pindet.training.train import train

ROOT = Path(__file__).parents[1]
ROUNDS = 3
VARIED = (
    "training.precision=fp32", "training.precision=bf16", "training.channels_last=false", "training.compile=true",
    "training.frozen_stages=0",
)  # fmt: skip


class Steps(lightning.Callback):
    """Seconds of Lightning's steps, from the end of one to the end of the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: float | None = None

    def on_train_batch_end(self, *_: Any) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--vary", action="store_true", help="compare settings of the bare loop")
    parser.add_argument("overrides", nargs="*", help="as after -S: runtime.workers=2")
    options = parser.parse_args()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, quiet():
        measured = (vary if options.vary else compare)(Path(folder), options.images, options.overrides)
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")


def compare(folder: Path, images: int, overrides: list[str]) -> dict[str, float]:
    """Run both loops in turns and return medians in milliseconds, and their ratio."""
    params = composed(folder / "params.yaml", images, overrides)
    split, val = prepared(folder / "prepared", params)
    bare: list[float] = []
    waits: list[float] = []
    shell: list[float] = []
    for turn in range(ROUNDS):
        seconds, waited = bare_epoch(params, split, val)
        bare, waits = bare + seconds, waits + waited
        steps = Steps()
        train(
            new_model(params, split), params.build("training"), split, val, seed=0, runtime=params.build("runtime"),
            resume=folder / f"resume-{turn}", callbacks=[steps],
        )  # fmt: skip
        shell += steps.seconds
    return {
        "bare_ms": 1000 * statistics.median(bare),
        "lightning_ms": 1000 * statistics.median(shell),
        "lightning_over_bare": statistics.median(shell) / statistics.median(bare),
        "waiting_share": sum(waits) / sum(bare),
    }


def vary(folder: Path, images: int, overrides: list[str]) -> dict[str, float]:
    """The milliseconds of a step by default, and of each changed setting the ratio to it."""
    plain = composed(folder / "params.yaml", images, overrides)
    split, val = prepared(folder / "prepared", plain)
    changed = {name: composed(folder / f"{name}.yaml", images, [*overrides, name]) for name in VARIED}
    steps: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, params in ({"default": plain} | changed).items():
            steps.setdefault(name, []).extend(bare_epoch(params, split, val)[0])
    medians = {name: statistics.median(seconds) for name, seconds in steps.items()}
    default = medians.pop("default")
    return {"default_ms": 1000 * default} | {name: seconds / default for name, seconds in medians.items()}


def composed(path: Path, images: int, overrides: list[str]) -> Params:
    """The parameters of so many generated images."""
    counts = [f"data.train_images={images}", "data.val_images=1", "data.test_images=1", "training.epochs=1"]
    compose_into(path, ROOT / "conf", [*counts, *overrides])
    return load_params(path)


def prepared(folder: Path, params: Params) -> tuple[PreparedSplit, PreparedSplit]:
    """Their training and validation split."""
    source = params.build("data").source(0)
    prepare(source, folder, seed=0, val_fraction=0, test_fraction=0, shard_count=1, max_rejected=0)
    keep_freed_memory()
    return PreparedSplit(folder, "train"), PreparedSplit(folder, "val")


def bare_epoch(params: Params, split: PreparedSplit, val: PreparedSplit) -> tuple[list[float], list[float]]:
    """Seconds of each step but the first, from the end of one to the end of the next, and of waiting for its batch."""
    settings, runtime = params.build("training"), params.build("runtime")
    precision = precision_on("cpu", settings.precision)
    model = new_model(params, split)
    model.initialise(0)
    model.freeze(settings.frozen_stages)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    if settings.compile:
        compile_parts(model)
    samples = TrainingSamples(split, Letterbox(model.image_height, model.image_width), settings.augmentation, 0)
    loader = training_loader(samples, settings.batch_size, 0, runtime.workers)
    guard = Guard(settings, Path(), lambda _number: [])
    module = DetectionTraining(model, settings, val, guard, steps=len(loader), seed=0)
    optimised: Any = module.configure_optimizers()
    optimiser, scheduler = optimised["optimizer"], optimised["lr_scheduler"]["scheduler"]
    averaged = Averaged(model, settings.ema_decay)
    model.train()
    seconds, waits = [], []
    last = time.perf_counter()
    for number, batch in enumerate(loader, 1):
        arrived = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            total = torch.stack(list(model.loss(batch.images, batch.targets).values())).sum()
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_gradient_norm)
        optimiser.step()
        scheduler.step()
        averaged.update(model, number)
        now = time.perf_counter()
        if number > 1:
            seconds.append(now - last)
            waits.append(arrived - last)
        last = now
    return seconds, waits


def new_model(params: Params, split: PreparedSplit) -> DetectionModel:
    model: DetectionModel = params.build("model", num_classes=len(split.classes))
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Deterministic algorithms for both, as a training has them."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    yield


if __name__ == "__main__":
    main()
