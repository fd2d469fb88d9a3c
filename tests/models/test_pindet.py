"""The default detector as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pindet.models.contract import Target
from pindet.models.pindet import Pindet

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = [
    Target(torch.tensor([[8.0, 8.0, 40.0, 40.0], [50.0, 10.0, 90.0, 60.0]]), torch.tensor([0, 2])),
    Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
]
POINTS = 8 * 12 + 4 * 6 + 2 * 3


def test_shapes_and_ranges(tiny: Callable[..., Pindet]) -> None:
    model = tiny().eval()
    boxes, scores = model.candidates(IMAGES)
    assert boxes.shape == (2, POINTS, 4)
    assert scores.shape == (2, POINTS, 3)
    assert boxes.dtype == scores.dtype == torch.float32
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert scores.min() >= 0 and scores.max() <= 0.1  # few objects are expected before training


def test_every_trained_parameter_has_a_gradient(tiny: Callable[..., Pindet]) -> None:
    model = tiny().train()
    losses = model.loss(IMAGES, TARGETS)
    assert set(losses) == {"class", "box", "distance"}
    torch.stack(list(losses.values())).sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert missing == []


def test_initialising_is_a_function_of_the_seed(tiny: Callable[..., Pindet]) -> None:
    model, other = tiny(), tiny()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    other.initialise(1)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(model.neck.lateral[0][0].weight, other.neck.lateral[0][0].weight)  # type: ignore[index, arg-type]


def test_the_graph_exports_with_a_free_batch(tiny: Callable[..., Pindet]) -> None:
    model = tiny().eval()

    class Candidates(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.model.candidates(images)

    batch = {0: torch.export.Dim("N", min=1, max=64)}
    exported = torch.export.export(Candidates(), (IMAGES,), dynamic_shapes=(batch,)).module()
    images = torch.randint(0, 256, (5, 3, 64, 96), dtype=torch.uint8)
    for seen, expected in zip(exported(images), model.candidates(images), strict=True):
        torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_height": 100}, "image_height is 100; a multiple of 32"),
        ({"image_width": 0}, "image_width is 0; at least 1"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"neck_channels": 7}, "neck_channels is 7"),
        ({"neck_blocks": -1}, "neck_blocks is -1"),
        ({"distance_bins": 1}, "distance_bins 1"),
        ({"backbone": "test_resnett"}, "'test_resnett'"),
    ],
)
def test_a_wrong_argument_is_named(tiny: Callable[..., Pindet], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**wrong)


def test_stages_that_do_not_exist_are_refused(tiny: Callable[..., Pindet]) -> None:
    with pytest.raises(ValueError, match="stages to freeze"):
        tiny().freeze(99)
