"""Confusion, calibration and kinds of error, computed by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from pindet.evaluation.calibration import expected_calibration_error, reliability
from pindet.evaluation.comparison import compare, compare_image
from pindet.evaluation.confusion import confusion
from pindet.evaluation.curves import Scored, scored
from pindet.evaluation.errors import error_rows
from pindet.evaluation.sentences import matrix_sentences

OBJECTS = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], np.float32)
LABELS = np.array([0, 1, 0, 1], np.int64)


def test_confusion_by_hand(answer: Any) -> None:
    found = answer(
        (0, 0, 10, 10, 0.9, 0),  # right
        (20, 0, 30, 9, 0.8, 0),  # object of class 1 taken for 0
        (20, 0, 30, 10, 0.7, 2),  # and for 2 by a box that fits better: that one is the object's
        (0, 0, 10, 9, 0.7, 0),  # found twice
        (40, 0, 50, 4, 0.6, 0),  # too small, and so the object is left
        (90, 0, 95, 5, 0.6, 1),  # nothing there
        (60, 0, 70, 10, 0.1, 1),  # below the threshold: the object is missed
    )
    judged = confusion([compare_image("x", found, OBJECTS, LABELS, 0.5)], 3, 0.5)
    assert judged.counts.tolist() == [[1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0], [3, 1, 0, 0]]
    assert judged.lone_detections == {"classification": 1, "duplicate": 1, "localisation": 1, "background": 1}
    assert judged.lone_objects == {"localisation": 1, "missed": 1}
    assert matrix_sentences(judged) == [
        "The last row holds 4 detections: 1 with nothing there, 2 on an object that has its detection "
        "already (1 found twice, 1 wrong class), 1 with too little overlap (badly placed).",
        "The last column holds 2 objects: 1 missed, 1 with a detection that is badly placed.",
        "Detections of a wrong class: 2, of which 1 off the diagonal and 1 in the last row.",
    ]


def test_what_lies_on_a_found_object_is_not_the_sign_of_another(answer: Any) -> None:
    """A second box on the first object overlaps the second, too; that one is missed in matrix and table alike."""
    boxes, labels = np.array([[0, 0, 10, 10], [0, 3, 10, 13]], np.float32), np.array([0, 1], np.int64)
    image = compare_image("x", answer((0, 0, 10, 10, 0.9, 0), (0, 1, 10, 10, 0.8, 0)), boxes, labels, 0.5)
    judged = confusion([image], 2, 0.5)
    assert judged.counts.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert (judged.lone_detections, judged.lone_objects) == ({"duplicate": 1}, {"missed": 1})


def test_a_faultless_matrix_says_so(answer: Any) -> None:
    judged = confusion([compare_image("x", answer((0, 0, 10, 10, 0.9, 0)), OBJECTS[:1], LABELS[:1], 0.5)], 2, 0.5)
    assert matrix_sentences(judged) == ["The last row is empty.", "The last column is empty."]


def test_confusion_counts_each_object_and_detection_once(make_splits: Any, random_boxes: Any, make_noisy: Any) -> None:
    _, split = make_splits(["a", "b", "c"], {}, random_boxes(1, 15, ["a", "b", "c"]))
    images = compare(split, make_noisy(split, 1), 0.5)
    matrix = confusion(images, 3, 0.3).counts
    kept = np.concatenate([i.found.labels[i.found.scores >= 0.3] for i in images])
    objects = np.concatenate([i.labels for i in images])
    assert matrix[:3].sum(axis=1).tolist() == np.bincount(objects, minlength=3).tolist()
    assert matrix[:, :3].sum(axis=0).tolist() == np.bincount(kept, minlength=3).tolist()
    assert np.trace(matrix) == sum(int(i.correct(0.3).sum()) for i in images)
    assert (matrix[:3, :3] - np.diag(np.diag(matrix)[:3])).sum() > 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.4])
def test_every_error_is_in_a_known_cell_of_the_matrix(
    make_splits: Any, random_boxes: Any, make_noisy: Any, threshold: float
) -> None:
    _, split = make_splits(["a", "b", "c"], {}, random_boxes(2, 40, ["a", "b", "c"]))
    images = compare(split, make_noisy(split, 2), 0.5)
    judged = confusion(images, 3, threshold)
    matrix, lone, left = judged.counts, judged.lone_detections, judged.lone_objects
    mixed_up = int(matrix[:3, :3].sum() - np.trace(matrix))
    errors = {row.kind: row.count for row in error_rows(images, 3, threshold)}
    assert sum(lone.values()) == matrix[3].sum()
    assert sum(left.values()) == matrix[:, 3].sum()
    assert {**lone, "classification": lone["classification"] + mixed_up, "missed": left["missed"]} == errors
    assert min(errors.values()) > 0 and lone["classification"] > 0
    # The sentences say these numbers, and theirs add up.
    row, column, wrong = (list(map(int, re.findall(r"\d+", text))) for text in matrix_sentences(judged))
    assert row[0] == matrix[3].sum() == row[1] + row[2] + row[5]
    assert (row[2], row[5]) == (row[3] + row[4], row[6] + row[7])
    assert column == [matrix[:, 3].sum(), left["missed"], left["localisation"]]
    assert wrong == [errors["classification"], mixed_up, lone["classification"]]


def test_calibration_by_hand() -> None:
    found = Scored(np.array([1.0, 0.95, 0.45, 0.0]), np.array([1, 0, 1, 0], np.bool_), 9)
    bins = reliability(found, 10)
    assert [(b.low, b.high, b.count, b.precision) for b in bins] == [
        (0.0, pytest.approx(0.1), 1, 0.0),
        (pytest.approx(0.4), pytest.approx(0.5), 1, 1.0),
        (pytest.approx(0.9), 1.0, 2, 0.5),
    ]
    assert expected_calibration_error(bins) == pytest.approx((0 + 0.55 + 2 * 0.475) / 4)
    assert expected_calibration_error([]) is None


def test_a_score_on_an_edge_belongs_to_the_lower_bin() -> None:
    bins = reliability(Scored(np.array([0.75, 0.5, 0.0]), np.array([1, 1, 0], np.bool_), 2), 4)
    assert [(b.low, b.high) for b in bins] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75)]


def test_repairing_a_wrong_class_finds_no_object_twice(answer: Any) -> None:
    boxes, labels = OBJECTS[[0, 2]], LABELS[[0, 2]]
    found = answer((0, 0, 10, 10, 0.9, 1), (0, 0, 10, 10, 0.8, 0))
    rows = {r.kind: r for r in error_rows([compare_image("x", found, boxes, labels, 0.5)], 2, 0.5)}
    assert (rows["classification"].count, rows["classification"].map_gain) == (1, pytest.approx(0))


def test_errors_by_hand(answer: Any) -> None:
    found = answer(
        (0, 0, 10, 10, 0.9, 0),  # right
        (0, 0, 10, 9, 0.85, 0),  # found twice
        (20, 0, 30, 10, 0.8, 0),  # wrong class
        (40, 0, 50, 4, 0.7, 0),  # badly placed
        (100, 50, 110, 60, 0.6, 1),  # nothing there
    )
    images = [compare_image("x", found, OBJECTS, LABELS, 0.5)]
    rows = {row.kind: row for row in error_rows(images, 2, 0.5)}
    counts = {kind: row.count for kind, row in rows.items()}
    assert counts == {
        "classification": 1,
        "localisation": 1,
        "both": 0,
        "duplicate": 1,
        "background": 1,
        "missed": 1,  # the last object: those taken for another or badly placed are no misses
    }
    # Class 0 finds one of two objects at once (51 of 101 recalls), class 1 none.
    assert [found.objects for found in scored(images, 2)[1]] == [2, 2]
    assert rows["classification"].map_gain == pytest.approx((51 / 101) / 2)  # class 1 finds one of two
    assert rows["localisation"].map_gain == pytest.approx((50 / 101 * 2 / 4) / 2)  # class 0's second, in fourth place
    assert rows["missed"].map_gain == pytest.approx(0)  # class 1 still finds nothing of one
    assert rows["background"].map_gain == rows["both"].map_gain == pytest.approx(0)


def test_repairing_everything_leaves_nothing(make_splits: Any, answer: Any) -> None:
    _, split = make_splits(["a"], {}, {"x.png": [("a", 0, 0, 50, 50), ("a", 100, 0, 150, 50)]})
    right, extra = (0, 0, 50, 50, 0.5, 0), (100, 100, 120, 120, 0.9, 0)
    rows = {r.kind: r for r in error_rows(compare(split, [answer(extra, right)], 0.5), 1, 0)}
    base = 51 / 101 / 2
    assert rows["background"].map_gain == pytest.approx(51 / 101 - base)
    assert rows["missed"].map_gain == pytest.approx(0.5 - base)
    below = {r.kind: r.count for r in error_rows(compare(split, [answer(extra, right)], 0.5), 1, 0.95)}
    assert below == dict.fromkeys(below, 0) | {"missed": 2}


def test_errors_without_objects_gain_nothing_that_is_defined(make_splits: Any, answer: Any) -> None:
    _, split = make_splits(["a"], {}, {"x.png": []})
    rows = error_rows(compare(split, [answer((0, 0, 9, 9, 0.9, 0))], 0.5), 1, 0.5)
    assert {r.kind: r.count for r in rows}["background"] == 1
    assert {r.map_gain for r in rows} == {None}
    assert {r.count for r in error_rows([], 1, 0.5)} == {0}
