"""A sample is a function of seed, epoch and position."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pindet_serve.letterbox import Letterbox

from pindet.data.prepared import PreparedSplit
from pindet.training import samples
from pindet.training.samples import Batch, Draw, EpochSampler, FittedImages, TrainingSamples, training_loader
from pindet.training.settings import TrainingSettings

Splits = tuple[PreparedSplit, PreparedSplit]
BOX = Letterbox(64, 64)


@pytest.fixture
def made(splits: Splits, settings: Callable[..., TrainingSettings]) -> TrainingSamples:
    return TrainingSamples(splits[0], BOX, settings().augmentation, 5)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(50, seed)
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert {draw.epoch for draw in drawn} == {epoch}
        return [draw.position for draw in drawn]

    assert sorted(order(0, 0)) == list(range(50))
    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(*key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4


def test_a_sample_differs_between_epochs_only(made: TrainingSamples) -> None:
    first, again, other = made[Draw(1, 2)], made[Draw(1, 2)], made[Draw(2, 2)]
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert (first.image != other.image).any()


def test_pixels_and_boxes_fit(splits: Splits, settings: Callable[..., TrainingSettings]) -> None:
    still = TrainingSamples(splits[0], BOX, settings(augmentation={}).augmentation, 0)
    for position in range(len(still)):
        sample = still[Draw(0, position)]
        image, placement = BOX(splits[0].image(position))
        np.testing.assert_array_equal(sample.image, image)
        np.testing.assert_allclose(sample.boxes, placement.to_letterboxed(splits[0].boxes(position)), atol=1e-4)
        assert sample.labels.tolist() == splits[0].labels(position).tolist()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_batch(made: TrainingSamples, workers: int) -> None:
    def epochs(workers: int) -> list[Batch]:
        loader = training_loader(made, 2, 5, workers)
        batches: list[Batch] = []
        for epoch in (0, 1):
            loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
            batches += loader  # type: ignore[arg-type]
        return batches

    state = torch.get_rng_state()
    alone, shared = epochs(0), epochs(workers)
    assert torch.equal(torch.get_rng_state(), state)
    assert [batch.epoch for batch in alone] == [0, 0, 0, 1, 1, 1]
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.images, other.images)
        assert all(torch.equal(a.boxes, b.boxes) for a, b in zip(one.targets, other.targets, strict=True))


def test_an_incomplete_batch_is_left_out_unless_it_is_the_only_one(made: TrainingSamples) -> None:
    assert len(training_loader(made, 4, 0, 0)) == 1
    (batch,) = training_loader(made, 100, 0, 0)
    assert batch.images.shape == (6, 3, 64, 64)  # type: ignore[attr-defined]


def test_images_are_decoded_once_while_there_is_room(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    plain = PreparedSplit.image
    monkeypatch.setattr(PreparedSplit, "image", lambda self, i: decoded.append(i) or plain(self, i))  # type: ignore[func-returns-value]
    monkeypatch.setattr(samples, "CACHE_BYTES", 2 * 64 * 64 * 3)
    images = FittedImages(splits[0], BOX)
    for _ in range(2):
        for position in range(3):
            images[position]
    assert decoded == [0, 1, 2, 2]
