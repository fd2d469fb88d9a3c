"""Averaged weights follow."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from pindet.models.pindet import Pindet
from pindet.training.averaging import WARM_STEPS, Averaged


def test_the_average_takes_its_share_of_weights_and_statistics(model: Callable[..., Pindet]) -> None:
    original = model()
    averaged = Averaged(original, 0.75)
    name = "neck.lateral.0.1.running_mean"
    before = averaged.weights()
    with torch.no_grad():
        for value in original.state_dict().values():
            value += 1
    averaged.update(original, 10**6)
    after = averaged.weights()
    for key in (name, "head.classes.0.1.weight"):
        torch.testing.assert_close(after[key], before[key] + 0.25)
    counter = "neck.lateral.0.1.num_batches_tracked"
    assert after[counter] == before[counter] + 1


def test_the_first_steps_are_hardly_remembered(model: Callable[..., Pindet]) -> None:
    original = model()
    averaged = Averaged(original, 0.9)
    with torch.no_grad():
        original.neck.lateral[0][0].weight += 1  # type: ignore[index, operator]
    averaged.update(original, 1)
    share = 1 - 0.9 * (1 - math.exp(-1 / WARM_STEPS))
    moved = averaged.model.state_dict()["neck.lateral.0.0.weight"] - original.state_dict()["neck.lateral.0.0.weight"]
    torch.testing.assert_close(moved, torch.full_like(moved, share - 1), rtol=0, atol=1e-5)


def test_the_average_is_not_trained(model: Callable[..., Pindet]) -> None:
    averaged = Averaged(model(), 0.9)
    assert not any(parameter.requires_grad for parameter in averaged.parameters())
    assert not averaged.model.training
