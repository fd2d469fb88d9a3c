"""COCO metrics agree with the reference implementation, and what is undefined is absent."""

from __future__ import annotations

import contextlib
import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.voc import VocSource
from pindet.evaluation.metrics import coco_metrics, recall_limits

CLASSES = ["a", "b", "人"]
ROOT = Path(__file__).parents[2]
BCCD = Path(os.environ.get("PINDET_BCCD", ROOT.parent / "shared/datasets/bccd"))


def reference(split: Any, detections: Any, limits: list[int]) -> Any:
    truth = COCO()
    truth.dataset = split.coco() | {"info": {}}
    results = []
    for i, found in enumerate(detections):
        for box, score, label in zip(found.boxes.astype(float), found.scores, found.labels, strict=True):
            xywh = [*box[:2], *(box[2:] - box[:2])]
            results.append({"image_id": i + 1, "category_id": int(label) + 1, "score": float(score), "bbox": xywh})
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.params.maxDets = limits
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval


def mean(values: Any) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else math.nan


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_detections", [None, 3, 150])
def test_agrees_with_pycocotools(
    make_splits: Any, random_boxes: Any, make_noisy: Any, seed: int, max_detections: int | None
) -> None:
    _, split = make_splits(CLASSES, {}, random_boxes(seed, 12, CLASSES))
    agree(split, make_noisy(split, seed), max_detections)


def test_agrees_with_pycocotools_on_real_photographs(tmp_path: Path, make_noisy: Any) -> None:
    """The test split of BCCD: crowded, and with boxes at the edge of the picture."""
    if not BCCD.is_dir():
        pytest.skip(f"the BCCD data set is not at {BCCD}; PINDET_BCCD says where it is")
    options = {"seed": 0, "val_fraction": 0, "test_fraction": 0, "shard_count": 1, "max_rejected": 2}
    prepare(VocSource(BCCD), tmp_path / "prepared", **options)  # type: ignore[arg-type]
    split = PreparedSplit(tmp_path / "prepared", "test")
    assert len(split) == 72
    agree(split, make_noisy(split, 0), None)


def agree(split: PreparedSplit, detections: Any, max_detections: int | None) -> None:
    """Every value is pycocotools' own."""
    limits = recall_limits(max_detections or 100)
    expected = reference(split, detections, limits)
    precision, recall = expected["precision"][..., -1], expected["recall"]
    every = precision[..., 0]
    wanted = {"map": mean(every), "map_50": mean(every[0]), "map_75": mean(every[5])}
    wanted |= {f"map_{size}": mean(precision[..., k]) for k, size in enumerate(("small", "medium", "large"), 1)}
    wanted |= {f"map/{name}": mean(precision[:, :, k, 0]) for k, name in enumerate(split.classes)}
    wanted |= {f"map_50/{name}": mean(precision[0, :, k, 0]) for k, name in enumerate(split.classes)}
    wanted |= {f"mar_{limit}": mean(recall[:, :, 0, k]) for k, limit in enumerate(limits)}
    wanted = {key: value for key, value in wanted.items() if not math.isnan(value)}
    assert coco_metrics(split, detections, max_detections=max_detections) == pytest.approx(wanted, abs=1e-12)


def test_more_than_a_hundred_detections_count(make_splits: Any, answer: Any) -> None:
    boxes = [("a", 10.0 * (k % 20), 10.0 * (k // 20), 10.0 * (k % 20) + 8, 10.0 * (k // 20) + 8) for k in range(160)]
    _, split = make_splits(["a"], {}, {"x.png": boxes})
    found = answer(*[(*box, 0.9 - k / 1000, 0) for k, box in enumerate(split.boxes(0))])
    assert coco_metrics(split, [found])["map"] == pytest.approx(1)
    assert coco_metrics(split, [found], max_detections=80)["map"] == pytest.approx(51 / 101)  # recalls 0 to 0.5


def test_what_has_no_ground_truth_is_absent(make_splits: Any, answer: Any) -> None:
    _, split = make_splits(["a", "b"], {}, {"x.png": [("a", 0, 0, 20, 20)], "y.png": []})
    metrics = coco_metrics(split, [answer((0, 0, 20, 20, 0.9, 0)), answer((0, 0, 9, 9, 0.8, 1))])
    assert metrics["map"] == metrics["map/a"] == metrics["map_small"] == pytest.approx(1)
    assert not {"map/b", "map_50/b", "map_medium", "map_large"} & set(metrics)


def test_no_detections_is_zero_and_no_objects_is_nothing(make_splits: Any, answer: Any) -> None:
    val, test = make_splits(["a"], {"e.png": []}, {"x.png": [("a", 0, 0, 20, 20)]})
    assert set(coco_metrics(test, [answer()]).values()) == {0.0}
    assert coco_metrics(val, [answer((0, 0, 9, 9, 0.8, 0))]) == {}
    _, none = make_splits(["a"], {}, {})
    assert coco_metrics(none, []) == {}


def test_one_answer_for_each_image(make_splits: Any, answer: Any) -> None:
    _, split = make_splits(["a"], {}, {"x.png": []})
    with pytest.raises(ValueError, match="2 detections for 1 images"):
        coco_metrics(split, [answer(), answer()])


def test_nothing_is_printed(make_splits: Any, answer: Any, capfd: Any, caplog: Any) -> None:
    _, split = make_splits(["a"], {}, {"x.png": [("a", 0, 0, 20, 20)]})
    caplog.set_level("INFO")
    caplog.clear()
    coco_metrics(split, [answer((0, 0, 20, 20, np.float32(0.5), 0))])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
