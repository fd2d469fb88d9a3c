"""Labels that a sure detection contradicts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pindet.evaluation.comparison import compare_image
from pindet.evaluation.crops import DETECTED, LABELLED, crop
from pindet.evaluation.evaluate import evaluate
from pindet.evaluation.suspects import Doubt, Suspect, find_suspects

OBJECTS = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
LABELS = np.array([0, 1, 0], np.int64)


def test_doubts_by_hand(answer: Any) -> None:
    image = compare_image(
        "x",
        answer(
            (0, 0, 10, 10, 0.7, 0),  # right: class 0 is found with 0.7 on average
            (70, 0, 80, 10, 0.8, 0),  # nothing is labelled here
            (20, 0, 30, 10, 0.75, 0),  # labelled as class 1
            (40, 0, 50, 4, 0.72, 0),  # overlaps its object too little
            (90, 0, 99, 10, 0.6, 0),  # less sure than where it is right
            (1, 0, 10, 10, 0.71, 1),  # class 1: nothing is found of it, so it is sure of nothing
        ),
        OBJECTS,
        LABELS,
        0.5,
    )
    found = find_suspects([("val", []), ("test", [image])], 2, 0.5)
    assert [(s.split, s.position, s.doubt, s.truth, round(s.score, 2)) for s in found] == [
        ("test", 0, Doubt.MISSING, None, 0.8),
        ("test", 0, Doubt.CLASS, 1, 0.75),
        ("test", 0, Doubt.PLACE, 2, 0.72),
    ]


def test_a_label_that_another_detection_confirms_is_no_suspect(answer: Any) -> None:
    image = compare_image(
        "x", answer((0, 0, 10, 10, 0.6, 0), (20, 0, 30, 10, 0.55, 1), (20, 0, 30, 10, 0.9, 0)), OBJECTS, LABELS, 0.5
    )
    assert find_suspects([("test", [image])], 2, 0.5) == []
    assert [s.truth for s in find_suspects([("test", [image])], 2, 0.57)] == [1]  # its confirmation is not reported


def test_a_crop_shows_both_boxes_also_at_the_edge(answer: Any) -> None:
    image = compare_image("x", answer((0, 0, 12, 10, 0.9, 1)), OBJECTS[:1], LABELS[:1], 0.5)
    jpeg = crop(np.full((40, 60, 3), 120, np.uint8), image, Suspect("test", 0, Doubt.CLASS, 0, 0, 0.9))
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    for colour in (DETECTED, LABELLED):
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels - wanted).sum(axis=2) < 90).sum() > 50
    assert pixels[:20].max() < 40  # outside the image


def test_the_report_and_a_file_list_them(
    make_splits: Any, answer: Any, make_settings: Any, tmp_path: Path
) -> None:
    val, test = make_splits(
        ["a", "b"], {"v.png": [("a", 10, 10, 60, 60)]}, {"t.png": [("a", 10, 10, 60, 60), ("b", 100, 10, 150, 60)]}
    )
    found = answer((10, 10, 60, 60, 0.8, 0), (100, 10, 150, 60, 0.85, 0))
    evaluate(lambda images: [found] * len(images), val, test, make_settings(), tmp_path / "out")
    rows = json.loads((tmp_path / "out/suspects.json").read_text("utf-8"))
    said = [(row["split"], row["doubt"], row["detected"], row["labelled"]) for row in rows]
    assert said == [("test", "class", "a", "b"), ("val", "missing", "a", None)]
    page = (tmp_path / "out/report.html").read_text("utf-8")
    assert "labelled b, seen as a" in page and "no label, but a is seen" in page
