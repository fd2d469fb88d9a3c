"""A training that leaves the path stops at once, and says on which images; one without memory says what to lower."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from pindet.data.prepared import PreparedSplit
from pindet.models.contract import Target
from pindet.models.pindet import Pindet
from pindet.training import guard
from pindet.training.guard import TrainingDivergedError
from pindet.training.out_of_memory import TrainingMemoryError, memory_advice
from pindet.training.runtime import Runtime
from pindet.training.samples import Batch, EpochSampler
from pindet.training.settings import TrainingSettings
from pindet.training.train import TrainingResult, train

Splits = tuple[PreparedSplit, PreparedSplit]
Fit = Callable[..., TrainingResult]


@pytest.fixture
def fit(
    tmp_path: Path,
    splits: Splits,
    model: Callable[..., Pindet],
    settings: Callable[..., TrainingSettings],
    runtime: Runtime,
) -> Fit:
    """Trains a fresh tiny model, without augmentation, with replaced settings."""

    def run(**replaced: object) -> TrainingResult:
        chosen = settings(**({"augmentation": {}} | replaced))
        return train(model(), chosen, *splits, seed=3, runtime=runtime, resume=tmp_path / "resume")

    return run


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Multiplies the losses of one step, counted from 1."""

    def at(step: int, factor: float) -> None:
        plain, steps = Pindet.loss, []

        def broken(self: Pindet, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
            steps.append(1)
            now = factor if len(steps) == step else 1.0
            return {name: value * now for name, value in plain(self, images, targets).items()}

        monkeypatch.setattr(Pindet, "loss", broken)

    return at


def drawn(split: PreparedSplit, epoch: int, batch: int) -> list[int]:
    sampler = EpochSampler(len(split), 3)
    sampler.set_epoch(epoch)
    return [draw.position for draw in sampler][2 * batch : 2 * batch + 2]


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_the_batch_of_a_loss_that_is_no_number_is_named_and_kept(
    fit: Fit, spoil: Callable[[int, float], None], splits: Splits, tmp_path: Path, factor: float
) -> None:
    spoil(5, factor)
    positions = drawn(splits[0], 1, 1)
    names = [splits[0].names[i] for i in positions]
    with pytest.raises(TrainingDivergedError, match=f"not finite in epoch 1, step 1 .* on {names[0]}, {names[1]};"):
        fit()
    folder = tmp_path / "resume" / "diverged"
    kept = json.loads((folder / "batch.json").read_text("utf-8"))
    assert (kept["epoch"], kept["step"]) == (1, 1)
    assert str(kept["losses"]["class"]) in ("nan", "inf")
    assert [image["name"] for image in kept["images"]] == names
    for image, position in zip(kept["images"], positions, strict=True):
        assert image["labels"] == splits[0].labels(position).tolist()
        seen = cv2.cvtColor(cv2.imread(str(folder / image["file"])), cv2.COLOR_BGR2RGB)
        expected = splits[0].image(position)
        np.testing.assert_array_equal(seen[8:56], expected)  # 48 x 64 pixels in a frame of 64 x 64


def test_an_exploding_loss_stops(
    fit: Fit, spoil: Callable[[int, float], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(guard, "KNOWN_AFTER", 4)
    spoil(6, 5000.0)
    with pytest.raises(TrainingDivergedError, match=r"the loss explodes: \d.* is ordinary in epoch 1, step 2 \(class"):
        fit()
    assert len(list((tmp_path / "resume" / "diverged").glob("*.png"))) == 2


def test_a_guard_that_goes_on_knows_what_is_ordinary(settings: Callable[..., TrainingSettings], tmp_path: Path) -> None:
    def seen(watch: guard.Guard, *values: float) -> guard.Guard:
        batch = Batch(0, torch.zeros(1, 3, 4, 4, dtype=torch.uint8), [Target(torch.zeros(0, 4), torch.zeros(0))])
        for value in values:
            watch.check_loss({"part": torch.tensor(value)}, torch.tensor(value), batch, 0)
        return watch

    def fresh() -> guard.Guard:
        return guard.Guard(settings(), tmp_path / "diverged", lambda number: [f"{number}.png"])

    begun = seen(fresh(), *[50.0] * guard.KNOWN_AFTER)
    resumed = fresh()
    resumed.restore(begun.state())
    seen(resumed, *[1.0] * guard.RECENT, 4000.0)  # of 50 in the beginning that is less than a hundred times as much
    with pytest.raises(TrainingDivergedError, match="explodes"):
        seen(resumed, 6000.0)


def test_an_ordinary_bad_step_does_not_stop(
    fit: Fit, spoil: Callable[[int, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "KNOWN_AFTER", 4)
    spoil(6, 20.0)
    assert len(fit().history) == 3


def test_a_gradient_that_is_no_number_stops_before_it_is_in_the_weights(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Pindet.loss

    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, value: Tensor) -> Tensor:
            del ctx
            return value.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            del ctx
            return gradient * float("nan")

    def broken(self: Pindet, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        return {name: Poison.apply(value) for name, value in plain(self, images, targets).items()}

    monkeypatch.setattr(Pindet, "loss", broken)
    with pytest.raises(TrainingDivergedError, match=r"gradient is not finite, first in \w.* in epoch 0, step 0, on"):
        fit()


def test_memory_that_does_not_suffice_says_what_to_lower(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(self: Pindet, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        del self, images, targets
        return {"class": torch.empty(2**60)}  # the allocator's own refusal

    monkeypatch.setattr(Pindet, "loss", greedy)
    with pytest.raises(TrainingMemoryError, match=r"lower training\.batch_size \(now 2\), .*\(now 64 and"):
        fit()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "^memory does not suffice; .*It was: MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "^the GPU's memory does not suffice"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), r"runtime\.workers \(now 3\)"),
    ],
)
def test_every_way_of_running_out_is_known(
    model: Callable[..., Pindet], settings: Callable[..., TrainingSettings], error: Exception, said: str
) -> None:
    runtime = Runtime(accelerator="cpu", devices=1, workers=3)
    with pytest.raises(TrainingMemoryError, match=said), memory_advice(model(), settings(), runtime):
        raise error


def test_other_errors_pass(
    model: Callable[..., Pindet], settings: Callable[..., TrainingSettings], runtime: Runtime
) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"), memory_advice(model(), settings(), runtime):
        raise RuntimeError("size mismatch")
