"""Training as a whole: it learns, repeats itself to the bit, and goes on where it was killed."""

from __future__ import annotations

import io
import logging
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from pindet.data.prepared import PreparedSplit
from pindet.models.contract import Target
from pindet.models.pindet import Pindet
from pindet.training import module
from pindet.training.guard import TrainingDivergedError
from pindet.training.progress import Listener
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings
from pindet.training.train import TrainingResult, train

Splits = tuple[PreparedSplit, PreparedSplit]
Fit = Callable[..., TrainingResult]


class KilledError(Exception):
    """Stands for whatever ends a process."""


class Kill(Callback):
    """Raises at a batch of an epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self._at = (epoch, batch)

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any, **kwargs: Any) -> None:
        del kwargs
        if (trainer.current_epoch, args[3]) == self._at:
            raise KilledError


@pytest.fixture
def fit(
    tmp_path: Path,
    splits: Splits,
    model: Callable[..., Pindet],
    settings: Callable[..., TrainingSettings],
    runtime: Runtime,
) -> Fit:
    """Trains a fresh tiny model with replaced settings."""

    def run(
        *, seed: int = 0, workers: int = 0, resume: str = "resume", callbacks: Sequence[Callback] = (),
        listeners: Sequence[Listener] = (), **replaced: Any
    ) -> TrainingResult:
        torch.manual_seed(os.getpid())  # the caller's random state must not matter
        return train(
            model(),
            settings(**replaced),
            *splits,
            seed=seed,
            runtime=Runtime(accelerator="cpu", devices=1, workers=workers) if workers else runtime,
            resume=tmp_path / resume,
            callbacks=callbacks,
            listeners=listeners,
        )

    return run


def same(one: TrainingResult, other: TrainingResult) -> bool:
    assert one.state_dict.keys() == other.state_dict.keys()
    weights = all(torch.equal(one.state_dict[name], other.state_dict[name]) for name in one.state_dict)
    return weights and one.history == other.history


def test_it_learns_four_images(fit: Fit) -> None:
    result = fit(epochs=40, validate_every=20, batch_size=3, lr=0.01, augmentation={})
    losses = [row["train/loss"] for row in result.history]
    assert losses[-1] is not None and losses[0] is not None and losses[-1] < losses[0] / 4
    measured = result.history[-1]["val/map_50"]
    assert measured is not None and measured > 0.5


def test_the_history_has_a_row_an_epoch(fit: Fit) -> None:
    history = fit(epochs=4, validate_every=2).history
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    keys = ["epoch", "lr", *(f"train/{name}" for name in ("loss", "class", "box", "distance"))]
    keys += ["val/map", "val/map_50", "val/map_75"]
    assert all(sorted(row) == sorted(keys) for row in history)
    assert [row["val/map"] is None for row in history] == [True, False, True, False]
    for row in history:
        parts = [row[f"train/{name}"] for name in ("class", "box", "distance")]
        assert sum(value for value in parts if value is not None) == pytest.approx(row["train/loss"], rel=1e-5)


@pytest.mark.parametrize(("epochs", "every", "validated"), [(5, 2, [2, 4, 5]), (2, 3, [2])])
def test_the_last_epoch_is_validated(fit: Fit, epochs: int, every: int, validated: list[int]) -> None:
    history = fit(epochs=epochs, validate_every=every).history
    assert [number for number, row in enumerate(history, 1) if row["val/map"] is not None] == validated


def test_the_last_epoch_is_validated_by_a_training_that_goes_on(fit: Fit) -> None:
    with pytest.raises(KilledError):
        fit(epochs=3, validate_every=2, callbacks=[Kill(2, 0)])
    resumed = fit(epochs=3, validate_every=2)
    assert same(resumed, fit(epochs=3, validate_every=2, resume="other"))
    assert resumed.history[-1]["val/map"] is not None


def test_metrics_reach_callbacks_at_each_epoch(fit: Fit) -> None:
    seen: list[set[str]] = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            del pl_module
            seen.append(set(trainer.callback_metrics))

    fit(epochs=2, callbacks=[Watch()])
    assert all({"train/loss", "train/box", "val/map", "val/map_50"} <= names for names in seen)
    assert len(seen) == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_bits_twice(fit: Fit, precision: str) -> None:
    assert same(fit(resume="a", precision=precision), fit(resume="b", precision=precision))


def test_another_seed_gives_another_model(fit: Fit) -> None:
    assert not same(fit(resume="a", epochs=1), fit(resume="b", epochs=1, seed=1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than a small machine has cores
@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(fit: Fit, workers: int) -> None:
    assert same(fit(resume="a"), fit(resume="b", workers=workers))


def test_where_channels_lie_changes_rounding_only(fit: Fit) -> None:
    last, first = (fit(resume=str(value), epochs=1, channels_last=value) for value in (True, False))
    for name, value in last.state_dict.items():
        torch.testing.assert_close(first.state_dict[name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")  # Dynamo's
def test_compiled_parts_train_the_same(fit: Fit) -> None:
    if shutil.which("c++") is None:
        pytest.skip("torch.compile takes a C++ compiler")
    plain, compiled, again = (
        fit(resume=name, epochs=2, compile=name != "plain") for name in ("plain", "compiled", "again")
    )
    assert same(compiled, again)
    assert compiled.state_dict.keys() == plain.state_dict.keys()
    assert compiled.history[-1]["train/loss"] == pytest.approx(plain.history[-1]["train/loss"], rel=1e-2)
    assert not same(compiled, plain), "nothing was compiled"


@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (1, 0), (1, 2), (2, 2)])
def test_a_killed_training_ends_in_the_same_bits(fit: Fit, tmp_path: Path, epoch: int, batch: int) -> None:
    whole = fit(resume="whole")
    with pytest.raises(KilledError):
        fit(callbacks=[Kill(epoch, batch)])
    kept = list((tmp_path / "resume").glob("*.ckpt"))
    assert [path.name[:10] for path in kept] == ([f"epoch-{epoch - 1:04d}"] if epoch else [])
    epochs: list[int] = []

    class Count(Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
            del pl_module
            epochs.append(trainer.current_epoch)

    assert same(fit(callbacks=[Count()]), whole)
    assert epochs == list(range(epoch, 3))
    assert same(fit(), whole)  # all epochs are done: nothing is trained again


KILLED_TRAINING = """
import os, pickle, signal, sys
from pathlib import Path

import torch
from lightning import Callback
from pindet.training.train import train


class Kill(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)


torch.set_num_threads(1)
positional, keywords = pickle.loads(Path(sys.argv[1]).read_bytes())
train(*positional, **keywords, callbacks=[Kill()])
"""


@pytest.mark.slow
def test_a_process_killed_by_the_system_goes_on(
    fit: Fit,
    tmp_path: Path,
    splits: Splits,
    model: Callable[..., Pindet],
    settings: Callable[..., TrainingSettings],
    runtime: Runtime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keywords = {"seed": 0, "runtime": runtime, "resume": tmp_path / "resume"}
    (tmp_path / "training.pickle").write_bytes(pickle.dumps(((model(), settings(), *splits), keywords)))
    command = [sys.executable, "-c", KILLED_TRAINING, str(tmp_path / "training.pickle")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    died = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert [path.name[:10] for path in (tmp_path / "resume").glob("*.ckpt")] == ["epoch-0001"]
    with caplog.at_level(logging.WARNING, "pindet"):
        ended = fit()
    assert "was killed" in caplog.text and "training.batch_size, which is 2" in caplog.text
    caplog.clear()
    assert same(ended, fit(resume="whole"))
    assert "was killed" not in caplog.text
    assert same(fit(), ended)
    assert "was killed" not in caplog.text, "it ended by itself"


def test_a_state_that_began_elsewhere_is_not_gone_on_with(
    fit: Fit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other starting weights under the same name, as when a checkpoint file was replaced."""
    with pytest.raises(KilledError):
        fit(callbacks=[Kill(2, 0)])

    def other(self: Pindet) -> None:
        with torch.no_grad():
            next(iter(self.parameters())).mul_(2)

    monkeypatch.setattr(Pindet, "load_pretrained", other)
    with caplog.at_level(logging.WARNING, "pindet"):
        fit()
    assert "belongs to another training and is not used" in caplog.text


def test_other_threads_than_before_are_said(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(KilledError):
        fit(callbacks=[Kill(2, 0)])
    torch.set_num_threads(threads + 1)
    try:
        with caplog.at_level(logging.WARNING, "pindet"):
            fit()
    finally:
        torch.set_num_threads(threads)
    assert f"{threads} threads before, {threads + 1} now" in caplog.text and "processes" not in caplog.text


@pytest.mark.slow
def test_a_training_ends_when_its_patience_does(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    """A rate of learning that teaches nothing: no validation is better than the first."""
    still: dict[str, Any] = {"epochs": 8, "lr": 1e-12, "ema_decay": 0.0, "augmentation": {}}
    with caplog.at_level(logging.INFO, "pindet"):
        ended = fit(resume="whole", patience=3, **still)
    assert [row["epoch"] for row in ended.history] == [0, 1, 2, 3]
    assert "ending early: the last 3 validations brought no better val/map" in caplog.text
    assert len(fit(resume="patient", **still).history) == 8

    assert same(fit(resume="whole", patience=3, **still), ended)  # it is over: nothing is trained again
    with pytest.raises(KilledError):
        fit(callbacks=[Kill(2, 0)], patience=3, **still)
    assert same(fit(patience=3, **still), ended)  # how long it has waited is part of the state


def test_a_training_of_few_steps_is_said_to_be_one(
    fit: Fit, splits: Splits, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = math.ceil(len(splits[0]) / 2)
    monkeypatch.setattr("pindet.training.train.FEW_STEPS", 3 * steps + 1)
    with caplog.at_level(logging.WARNING, "pindet"):
        fit(epochs=3)
    assert f"only {3 * steps} steps (images: {len(splits[0])}, batch size: 2, epochs: 3)" in caplog.text
    assert "training.epochs=4 or more" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "pindet"):
        fit(resume="more", epochs=4)
    assert "steps" not in caplog.text


def test_a_damaged_state_is_passed_over(fit: Fit, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KilledError):
        fit(callbacks=[Kill(1, 0)])
    (state,) = (tmp_path / "resume").glob("*.ckpt")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    with caplog.at_level(logging.WARNING, "pindet"):
        assert same(fit(), fit(resume="whole"))
    assert "is damaged and is not used" in caplog.text


def test_a_foreign_state_is_passed_over(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    fit(seed=1)
    with caplog.at_level(logging.WARNING, "pindet"):
        assert same(fit(), fit(resume="whole"))
    assert "belongs to another training" in caplog.text


def test_a_loss_that_is_no_number_stops(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Pindet.loss
    steps: list[int] = []

    def broken(self: Pindet, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        steps.append(1)
        factor = float("nan") if len(steps) == 5 else 1.0
        return {name: value * factor for name, value in plain(self, images, targets).items()}

    monkeypatch.setattr(Pindet, "loss", broken)
    with pytest.raises(TrainingDivergedError, match=r"epoch 1, step 1 .*try a lower training\.lr"):
        fit()


def test_frozen_stages_keep_their_weights(fit: Fit, model: Callable[..., Pindet]) -> None:
    start = model()
    start.initialise(0)
    result = fit(epochs=1, frozen_stages=2, ema_decay=0.0)
    unchanged = {
        name
        for name, value in start.state_dict().items()
        if torch.equal(value, result.state_dict[name]) and "running" not in name and "num_batches" not in name
    }
    assert {n for n in unchanged if n.startswith("backbone.body.blocks.1.")}
    assert not {n for n in unchanged if n.startswith(("backbone.body.blocks.2.", "neck", "head")) and "weight" in n}


def test_data_and_model_must_fit(
    tmp_path: Path,
    splits: Splits,
    model: Callable[..., Pindet],
    settings: Callable[..., TrainingSettings],
    runtime: Runtime,
) -> None:
    with pytest.raises(ValueError, match="the model has 3 classes, the training data 2"):
        train(model(num_classes=3), settings(), *splits, seed=0, runtime=runtime, resume=tmp_path)


def test_only_deterministic_algorithms_are_used(fit: Fit) -> None:
    seen: list[bool] = []

    class Watch(Callback):
        def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
            del args, kwargs
            seen.append(torch.are_deterministic_algorithms_enabled())

    fit(epochs=1, callbacks=[Watch()])
    assert seen == [True] * 3


def test_an_epoch_is_one_line_where_no_bar_is_shown(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pindet"):
        fit(epochs=2, validate_every=2)
    first, second = (record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch "))
    assert first.startswith("epoch 1 of 2: loss ") and "images/s, " in first and "mAP" not in first
    assert second.startswith("epoch 2 of 2: loss ") and "mAP 0." in second and second.endswith(", 0 s left")


def test_a_terminal_shows_a_bar(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    fit()
    lines = re.findall(r"epoch (\d) of 3: loss [\d.]+,( mAP [\d.]+,)? \d+ images/s, \d+ s left", terminal.getvalue())
    assert lines[-1][0] == "3", "the bar is drawn ten times a second, and in the end"
    assert lines[-1][1], "once it is measured, mAP is shown"


def test_the_averaged_weights_of_the_best_epoch_are_the_result(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each validation sees the averaged weights of its epoch, and those of the highest mAP are kept."""
    scores, validated, raw = iter([0.1, 0.9, 0.2]), [], []

    def scripted(split: PreparedSplit, found: object) -> dict[str, float]:
        del split, found
        return {"map": next(scores), "map_50": 0.5, "map_75": 0.5}

    class Look(Callback):
        def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
            del trainer
            raw.append({name: value.clone() for name, value in pl_module.model.state_dict().items()})

    candidates = Pindet.candidates

    def recorded(self: Pindet, images: Tensor) -> Any:
        validated.append({name: value.clone() for name, value in self.state_dict().items()})
        return candidates(self, images)

    monkeypatch.setattr(module, "coco_metrics", scripted)
    monkeypatch.setattr(Pindet, "candidates", recorded)
    result = fit(callbacks=[Look()])

    kept = result.state_dict
    assert len(validated) == len(raw) == 3
    assert all(torch.equal(kept[name], validated[1][name]) for name in kept)
    for others in (validated[0], validated[2], raw[1]):
        assert any(not torch.equal(kept[name], others[name]) for name in kept)


def test_listeners_hear_of_every_epoch(fit: Fit) -> None:
    heard: list[Any] = []
    result = fit(epochs=3, listeners=[heard.append])
    ends = [report for report in heard if report["epochs_done"] == report["epoch"]]
    assert [(report["epoch"], report["epochs"], report["step"], report["steps"]) for report in ends] == [
        (1, 3, 3, 9), (2, 3, 6, 9), (3, 3, 9, 9),
    ]  # fmt: skip
    assert [report["loss"] for report in ends] == [row["train/loss"] for row in result.history]
    assert [report["map"] for report in ends] == pytest.approx([row["val/map"] for row in result.history])
    assert all(report["images_per_second"] > 0 for report in ends)
    assert ends[-1]["seconds_left"] == 0


def test_the_callers_settings_come_back(fit: Fit) -> None:
    before = torch.are_deterministic_algorithms_enabled(), logging.getLogger("lightning.pytorch").level
    fit(epochs=1)
    assert (torch.are_deterministic_algorithms_enabled(), logging.getLogger("lightning.pytorch").level) == before
