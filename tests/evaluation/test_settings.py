"""The settings: what conf/ says is allowed, and every key is read."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from pindet.evaluation.evaluate import evaluate
from pindet.evaluation.settings import EvaluationSettings

CONF = Path(__file__).parents[2] / "conf" / "evaluation"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.name)
def test_conf_builds(path: Path) -> None:
    values = yaml.safe_load(path.read_text("utf-8"))
    assert values.pop("_target_") == "pindet.evaluation.settings.EvaluationSettings"
    assert EvaluationSettings(**values)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 0, "at least 1"),
        ("max_detections", 0, "at least 1"),
        ("calibration_bins", 1, "at least 2"),
        ("gallery_images", -1, "at least 0"),
        ("resamples", -1, "at least 0"),
        ("nms_iou_threshold", 1.0, "more than 0 and less than 1"),
        ("fallback_score_threshold", 0.0, "more than 0 and less than 1"),
        ("iou_threshold", 0.1, "must exceed 0.1"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(make_settings: Any, name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"evaluation.{name} is {value}.*{message}"):
        make_settings(**{name: value})


CHANGES = {
    "batch_size": 3,
    "nms_iou_threshold": 0.7,
    "max_detections": 2,
    "iou_threshold": 0.9,
    "fallback_score_threshold": 0.25,
    "calibration_bins": 5,
    "gallery_images": 1,
    "resamples": 7,
}


def test_every_key_changes_something(
    make_settings: Any, make_splits: Any, make_noisy: Any, random_boxes: Any, answer: Any, tmp_path: Path
) -> None:
    assert set(CHANGES) == {field.name for field in fields(EvaluationSettings)}
    splits = make_splits(["a"], random_boxes(1, 4, ["a"]), random_boxes(2, 4, ["a"]))

    def run(name: str, **changes: Any) -> Any:
        fails = "fallback_score_threshold" in changes or name == "fails"
        answers = [*([answer()] * 4 if fails else make_noisy(splits[0], 0)), *make_noisy(splits[1], 0)]
        sizes: list[int] = []

        def predict(images: Any) -> Any:
            sizes.append(len(images))
            return [answers.pop(0) for _ in images]

        result = evaluate(predict, *splits, make_settings(**changes), tmp_path / name)
        files = {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        return sizes, result.operating_point, files

    base, fails = run("base"), run("fails")
    for name, value in CHANGES.items():
        changed = run(name, **{name: value})
        assert changed != (fails if name == "fallback_score_threshold" else base), name
