"""What every model must offer, whatever library its layers come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pindet.models.contract import DetectionModel, Target
from pindet.models.store import load_trained, save_trained

Build = Callable[..., DetectionModel]
NAMES = ["fcos", "faster_rcnn", "rtdetr_v2", "rtdetr_v2_own", "dfine", "dfine_own"]
LOSSES = {
    "fcos": {"class", "box", "centredness"},
    "faster_rcnn": {"objectness", "proposal", "class", "box"},
    "rtdetr_v2": {"class", "box", "overlap"},
    "dfine": {"class", "box", "overlap", "distribution", "distillation"},
}
IMAGES = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
OBJECTS = Target(torch.tensor([[8.0, 8.0, 40.0, 40.0], [50.0, 10.0, 90.0, 60.0]]), torch.tensor([0, 2]))
NOTHING = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_finite_and_reach_the_layers(build: Build, name: str) -> None:
    model = build(name).train()
    for precise in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            losses = model.loss(IMAGES, [OBJECTS, NOTHING])
        assert set(losses) == LOSSES[name.removesuffix("_own")]
        total = torch.stack(list(losses.values())).sum()
        assert torch.isfinite(total)
        total.backward()  # type: ignore[no-untyped-call]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with_gradient = [p for p in trained if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(with_gradient) > 0.5 * len(trained)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_objects_is_a_batch(build: Build, name: str) -> None:
    losses = build(name).train().loss(IMAGES[:1], [NOTHING])
    total = torch.stack(list(losses.values())).sum()
    assert torch.isfinite(total)
    total.backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("name", NAMES)
def test_candidates_have_the_shapes_and_ranges_of_the_contract(build: Build, name: str) -> None:
    with torch.inference_mode():
        boxes, scores = build(name).eval().candidates(IMAGES)
    assert boxes.shape == (2, scores.shape[1], 4)
    assert scores.shape[2] == 3
    assert boxes.dtype == scores.dtype == torch.float32
    assert boxes.min() >= 0 and boxes[..., 0::2].max() <= 96 and boxes[..., 1::2].max() <= 64
    assert scores.min() >= 0 and scores.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_model_starts_and_comes_back_from_disk_the_same(
    build: Build, configs: dict[str, dict[str, Any]], name: str, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    model, again, other = build(name), build(name), build(name, seed=1)
    state = model.state_dict()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in state.items())
    assert not all(torch.equal(value, other.state_dict()[key]) for key, value in state.items())
    model.initialise(0)
    save_trained(tmp_path / "w.safetensors", tmp_path / "a.json", model, configs[name], ["a", "b", "c"])
    torch.manual_seed(7)
    assert torch.equal(torch.get_rng_state(), before)
    loaded = load_trained(tmp_path / "w.safetensors", tmp_path / "a.json").model
    with torch.inference_mode():
        for seen, expected in zip(loaded.candidates(IMAGES), model.eval().candidates(IMAGES), strict=True):
            assert torch.equal(seen, expected)


@pytest.mark.parametrize("name", ["fcos", "faster_rcnn", "rtdetr_v2", "dfine"])
def test_frozen_stages_are_not_trained(build: Build, name: str) -> None:
    model = build(name)
    before = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    model.freeze(2)
    frozen = before - {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert frozen and all("backbone" in key for key in frozen)
    with pytest.raises(ValueError, match="99 stages to freeze"):
        model.freeze(99)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("fcos", {"image_width": 100}, "image_width is 100; a multiple of 32"),
        ("fcos", {"pyramid_channels": 32}, "pyramid_channels is 32; a multiple of 32 from 64"),
        ("fcos", {"head_blocks": 0}, "head_blocks is 0"),
        ("faster_rcnn", {"image_height": 50}, "image_height is 50; a multiple of 32"),
        ("faster_rcnn", {"anchor_sizes": [8, 16]}, r"anchor_sizes is \[8, 16\]; 4 sides"),
        ("faster_rcnn", {"head_channels": 0}, "head_channels is 0"),
        ("faster_rcnn", {"proposals": 10000}, "proposals is 10000; images of this size have 384 anchors"),
        ("dfine", {"image_width": 100}, "image_width is 100; a multiple of 32"),
        ("dfine", {"architecture": "detr"}, "architecture is 'detr'; d_fine, rt_detr_v2 are allowed"),
        ("dfine", {"config": {"num_querys": 3}}, "unknown key 'num_querys' for d_fine, did you mean 'num_queries'"),
        ("dfine", {"config": {"d_model": "wide"}}, "config of d_fine: .*d_model"),
        ("rtdetr_v2", {"weights": "somewhere"}, "weights is 'somewhere' and backbone 'test_efficientnet'"),
        ("rtdetr_v2", {"config": {"num_queries": 3000}}, "num_queries is 3000; images of this size have 126 places"),
        ("rtdetr_v2", {"config": {"learn_initial_query": True, "num_queries": 9}}, "learn_initial_query is true"),
    ],
)
def test_a_wrong_argument_is_named(build: Build, name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        build(name, **wrong)


def test_only_who_uses_the_library_loads_it(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys, pindet.models.pindet, pindet.models.transformers_detr\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'transformers']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Exception, match=r"package transformers, which is not installed; `pip install transformers`"):
        build("rtdetr_v2")
