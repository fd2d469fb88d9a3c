"""Which detection finds which object, and what the others are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pindet_serve.detections import Detections

from pindet.evaluation.answers import answers_of
from pindet.evaluation.comparison import KINDS, Kind, box_ious, compare, compare_image
from pindet.evaluation.matching import IOU_THRESHOLDS, match_classes

OBJECTS = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [100, 100, 120, 120]], np.float32)
LABELS = np.array([0, 1, 0], np.int64)


def kinds(found: Detections) -> list[tuple[str, int]]:
    image = compare_image("x", found, OBJECTS, LABELS, 0.5)
    return [(KINDS[kind], int(partner)) for kind, partner in zip(image.kinds, image.partners, strict=True)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((0, 0, 10, 5, 0.9, 0), (Kind.CORRECT, 0)),  # an overlap of exactly the threshold matches
        ((0, 0, 10, 4.9, 0.9, 0), (Kind.LOCALISATION, 0)),
        ((0, 0, 10, 10, 0.9, 1), (Kind.CLASSIFICATION, 0)),
        ((0, 0, 10, 4.9, 0.9, 1), (Kind.BOTH, 0)),
        ((0, 0, 10, 0.9, 0.9, 0), (Kind.BACKGROUND, -1)),
        ((50, 50, 60, 60, 0.9, 1), (Kind.BACKGROUND, -1)),
        ((20, 0, 30, 10, 0.9, 1), (Kind.CORRECT, 1)),
    ],
)
def test_kind_of_one_detection(answer: Any, row: Any, expected: Any) -> None:
    assert kinds(answer(row)) == [expected]


def test_the_better_score_takes_the_object(answer: Any) -> None:
    exact, moved = (0, 0, 10, 10, 0.5, 0), (0, 0, 10, 8, 0.6, 0)
    assert kinds(answer(exact, moved)) == [(Kind.CORRECT, 0), (Kind.DUPLICATE, 0)]
    image = compare_image("x", answer(exact, moved), OBJECTS, LABELS, 0.5)
    assert image.found.scores.tolist() == pytest.approx([0.6, 0.5])
    assert image.ious.tolist() == pytest.approx([0.8, 1.0])


def test_a_taken_object_leaves_the_next_best(answer: Any) -> None:
    near = np.array([[0, 0, 10, 10], [0, 1, 10, 11]], np.float32)
    found = answer((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.8, 0))
    assert compare_image("x", found, near, np.zeros(2, np.int64), 0.5).partners.tolist() == [0, 1]


def test_both_evaluations_ask_for_the_same_overlap(answer: Any) -> None:
    """The one at the operating point and the one over COCO's overlaps, a hair below one of them."""
    objects, labels = np.array([[0, 0, 400_000, 300_000]], np.float32), np.zeros(1, np.int64)
    found = answer((0, 0, 300_001, 299_999, 0.9, 0))
    image = compare_image("x", found, objects, labels, 0.75)
    assert 0.75 - 1e-11 < image.ious[0] < 0.75
    assert KINDS[image.kinds[0]] == Kind.LOCALISATION
    matches = match_classes(answers_of([image], ["a"], score_threshold=0.5, iou_threshold=0.75))[0]
    assert IOU_THRESHOLDS[matches.found[:, 0]].tolist() == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7])


def test_no_objects_or_no_detections(answer: Any) -> None:
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    image = compare_image("x", answer((0, 0, 1, 1, 0.5, 0)), *nothing, 0.5)
    assert [KINDS[k] for k in image.kinds] == [Kind.BACKGROUND]
    assert compare_image("x", answer(), OBJECTS, LABELS, 0.5).objects_found(0).tolist() == [False] * 3
    assert box_ious(nothing[0], OBJECTS).shape == (0, 3)


def test_lower_scores_change_nothing_above(make_splits: Any, random_boxes: Any, make_noisy: Any) -> None:
    _, split = make_splits(["a", "b"], {}, random_boxes(5, 15, ["a", "b"]))
    full = make_noisy(split, 5)
    cut = [Detections(f.boxes[f.scores >= 0.3], f.scores[f.scores >= 0.3], f.labels[f.scores >= 0.3]) for f in full]
    for whole, part in zip(compare(split, full, 0.5), compare(split, cut, 0.5), strict=True):
        assert whole.kinds[: len(part.found)].tolist() == part.kinds.tolist()
        assert whole.partners[: len(part.found)].tolist() == part.partners.tolist()
        assert whole.objects_found(0.3).tolist() == part.objects_found(0).tolist()
