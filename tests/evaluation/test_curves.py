"""Thresholds, rates and average precision, computed by hand or by COCO."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pindet.evaluation.comparison import compare
from pindet.evaluation.curves import Scored, average_precision, best_threshold, counts_at, curve, interpolated, scored
from pindet.evaluation.metrics import coco_metrics


def of(scores: list[float], hits: list[int], objects: int) -> Scored:
    return Scored(np.array(scores, np.float32).astype(np.float64), np.array(hits, np.bool_), objects)


def test_rates_by_hand() -> None:
    values = curve(of([0.9, 0.8, 0.8, 0.2], [1, 0, 1, 0], 4))
    assert values.precision.tolist() == pytest.approx([1, 2 / 3, 1 / 2])
    assert values.recall.tolist() == pytest.approx([1 / 4, 1 / 2, 1 / 2])
    assert values.f1.tolist() == pytest.approx([2 / 5, 4 / 7, 4 / 8])


@pytest.mark.parametrize(
    ("scores", "hits", "objects", "expected"),
    [
        ([0.9, 0.8, 0.4, 0.1], [1, 1, 0, 0], 2, 0.6),  # halfway between 0.8 and 0.4
        ([0.9, 0.8], [1, 1], 2, 0.8),  # no lower one: the lowest that is needed, and no lower
        ([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0], 2, 0.3),  # equal scores stay together
        ([0.9, 0.3, 0.2], [1, 0, 1], 2, 0.2),
        ([0.9, 0.8, 0.7], [1, 0, 0], 1, 0.85),
        ([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 0, 1, 1], 3, 0.5),
        ([0.123456, 0.123455], [1, 0], 1, 0.123456),
    ],
)
def test_best_threshold(scores: Any, hits: Any, objects: int, expected: float) -> None:
    found = of(scores, hits, objects)
    threshold = best_threshold(found)
    assert threshold == pytest.approx(expected, abs=0.0051)
    counts = counts_at(found, threshold)  # type: ignore[arg-type]
    assert counts.f1 == pytest.approx(curve(found).f1.max())


def test_no_threshold_is_best_when_none_finds_anything() -> None:
    assert best_threshold(of([0.9, 0.8], [0, 0], 3)) is None
    assert best_threshold(of([], [], 3)) is None
    assert best_threshold(of([0.5], [0], 0)) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_reaches_the_best_f1_whatever_the_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.random(30) * rng.choice([1, 1e-3, 1e-6]))[::-1].astype(np.float32)
    found = of(scores.tolist(), rng.integers(0, 2, 30).tolist(), 25)
    threshold = best_threshold(found)
    assert threshold is not None
    assert counts_at(found, threshold).f1 == pytest.approx(curve(found).f1.max())
    assert int((scores >= threshold).sum()) == int((found.scores >= np.float32(threshold)).sum())


def test_undefined_rates_are_none() -> None:
    assert counts_at(of([], [], 0), 0.5).f1 is None
    assert counts_at(of([0.4], [1], 1), 0.5).precision is None
    assert counts_at(of([0.9], [0], 0), 0.5).recall is None
    assert average_precision(of([0.9], [0], 0)) is None
    assert average_precision(of([], [], 2)) == 0


def test_interpolated_precision_by_hand() -> None:
    precision, score = interpolated(of([0.9, 0.8, 0.7], [1, 0, 1], 4))
    assert precision[[0, 25, 26, 50, 51]].tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 0])
    assert score[[25, 26, 51]].tolist() == pytest.approx([0.9, 0.7, 0])


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_coco(make_splits: Any, random_boxes: Any, make_noisy: Any, seed: int) -> None:
    _, split = make_splits(["a", "b"], {}, random_boxes(seed, 15, ["a", "b"]))
    detections = make_noisy(split, seed)
    images, metrics = compare(split, detections, 0.5), coco_metrics(split, detections)
    every, per_class = scored(images, 2)
    for name, found in zip(["a", "b"], per_class, strict=True):
        assert average_precision(found) == pytest.approx(metrics[f"map_50/{name}"], abs=1e-9)
    assert every.objects == sum(len(split.labels(i)) for i in range(len(split)))
    assert every.hits.sum() == sum(found.hits.sum() for found in per_class)
