"""From a few pictures to a bundle, with every model: trained, stored, exported, held to the trained model's answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pindet_serve.golden import load_proven

from pindet.data.prepared import PreparedSplit
from pindet.export.export import export
from pindet.export.operating import OperatingPoint
from pindet.export.settings import ExportSettings
from pindet.models.contract import DetectionModel
from pindet.models.predictor import Predictor
from pindet.models.store import Trained
from pindet.training.augmentation import Augmentation
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings
from pindet.training.train import TrainingResult, train

Build = Callable[..., DetectionModel]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("faster_rcnn", "dfine", "rtdetr_v2")]
STILL = dict.fromkeys(
    ["horizontal_flip", "vertical_flip", "scale", "brightness", "contrast", "saturation", "hue", "visible"], 0.0
)
POINT = OperatingPoint(score_threshold=0.3, nms_iou_threshold=0.6, max_detections=20)
SETTINGS = ExportSettings(
    opset=20,
    golden_images=2,
    golden_box_tolerance=0.5,
    golden_score_tolerance=0.01,
    parity_score_floor=0.02,
    parity_min_iou=0.99,
    parity_max_score_difference=0.01,
    parity_max_unmatched_fraction=0.0,
    parity_max_map_difference=0.0,
    latency_runs=1,
    formats=[],
    max_map_drop=0.01,
    int8_calibration_images=8,
    int8_box_tolerance=8.0,
    int8_score_tolerance=0.15,
)


def fit(model: DetectionModel, splits: dict[str, PreparedSplit], resume: Path, epochs: int = 4) -> TrainingResult:
    settings = TrainingSettings(
        epochs=epochs,
        batch_size=2,
        lr=0.002,
        weight_decay=0.01,
        warmup=0.1,
        precision="bf16",
        channels_last=True,
        compile=False,
        frozen_stages=0,
        ema_decay=0.5,
        max_gradient_norm=10.0,
        validate_every=epochs,
        patience=0,
        augmentation=Augmentation(**STILL),
    )
    runtime = Runtime(accelerator="cpu", devices=1, workers=0)
    return train(model, settings, splits["train"], splits["val"], seed=0, runtime=runtime, resume=resume)


@pytest.mark.parametrize("name", ["fcos", *SLOW])
def test_a_bundle_answers_as_the_trained_model(
    build: Build, splits: dict[str, PreparedSplit], tmp_path: Path, name: str
) -> None:
    model = build(name, num_classes=2)
    result = fit(model, splits, tmp_path / "resume")
    losses = [row["train/loss"] for row in result.history]
    assert all(loss is not None and math.isfinite(loss) for loss in losses)
    model.load_state_dict(result.state_dict)
    trained = Trained(model.eval(), ["blue", "red"])
    parity = export(
        trained, splits["test"], POINT, SETTINGS, tmp_path / "bundle", metrics={"test/map": 0.0}, data_md5="0" * 32
    )
    assert parity["pairs"] > 0
    detector = load_proven(tmp_path / "bundle")
    pictures = [splits["test"].image(i % 3) for i in range(7)]
    expected = Predictor(model, POINT.postprocess())(pictures)
    for size in (1, 2, 3, 7):
        found = detector.detect(pictures[:size], score_threshold=0)
        for one, other in zip(found, expected[:size], strict=True):
            np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
            np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("name", SLOW)
def test_training_with_random_parts_gives_the_same_bits_twice(
    build: Build, splits: dict[str, PreparedSplit], tmp_path: Path, name: str
) -> None:
    results = []
    for turn in range(2):
        torch.manual_seed(turn)  # the caller's random state must not matter
        results.append(fit(build(name, num_classes=2), splits, tmp_path / str(turn), epochs=2))
    one, other = results
    assert all(torch.equal(value, other.state_dict[key]) for key, value in one.state_dict.items())
    assert one.history == other.history
