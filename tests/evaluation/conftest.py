"""Small prepared splits with given boxes, answers near the truth, and the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pindet_serve.detections import Detections

from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.records import Item, RawBox, Rejection
from pindet.evaluation.settings import EvaluationSettings

Box = tuple[str, float, float, float, float]
Boxes = dict[str, list[Box]]
"""For each image name its objects: class and corners; every image is 200 x 160 pixels."""
SETTINGS = {
    "batch_size": 2,
    "nms_iou_threshold": 0.6,
    "max_detections": 100,
    "iou_threshold": 0.5,
    "fallback_score_threshold": 0.5,
    "calibration_bins": 10,
    "gallery_images": 3,
    "resamples": 20,
}


class Listed:
    """A source of given images."""

    def __init__(self, root: Path, classes: list[str], val: Boxes, test: Boxes) -> None:
        self.classes = classes
        self._items: list[Item] = []
        root.mkdir()
        for split, images in (("train", {"t.png": []}), ("val", val), ("test", test)):
            for name, boxes in images.items():
                path = root / f"{len(self._items)}.png"
                pixels = np.random.default_rng(len(self._items)).integers(0, 256, (160, 200, 3), np.uint8)
                Image.fromarray(pixels).save(path)
                self._items.append(Item(name, path.read_bytes, [RawBox(*box) for box in boxes], split))

    def read(self) -> Iterator[Item | Rejection]:
        yield from self._items


@pytest.fixture
def make_splits(tmp_path: Path) -> Callable[..., tuple[PreparedSplit, PreparedSplit]]:
    """Builds the splits val and test."""
    made = iter(range(100))

    def make(classes: list[str], val: Boxes, test: Boxes) -> tuple[PreparedSplit, PreparedSplit]:
        number = next(made)
        source, root = Listed(tmp_path / f"raw{number}", classes, val, test), tmp_path / f"prepared{number}"
        prepare(source, root, seed=0, val_fraction=0, test_fraction=0, shard_count=1, max_rejected=0)
        return PreparedSplit(root, "val"), PreparedSplit(root, "test")

    return make


@pytest.fixture
def make_settings() -> Callable[..., EvaluationSettings]:
    """Builds settings with some values changed."""
    return lambda **changes: EvaluationSettings(**{**SETTINGS, **changes})


@pytest.fixture
def answer() -> Callable[..., Detections]:
    """Builds detections from rows ``x1, y1, x2, y2, score, label``."""

    def build(*rows: tuple[float, ...]) -> Detections:
        table = np.array(rows, np.float64).reshape(-1, 6)
        boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
        return Detections(boxes, scores, table[:, 5].astype(np.int64))

    return build


def noisy(split: PreparedSplit, seed: int) -> list[Detections]:
    """Answers of a mediocre detector: moved, doubled, confused, missed and invented boxes."""
    rng = np.random.default_rng(seed)
    answers = []
    for i in range(len(split)):
        rows: list[Any] = []
        for box, label in zip(split.boxes(i), split.labels(i), strict=True):
            for _ in range(rng.integers(0, 4)):
                moved = box + rng.normal(0, 0.12, 4) * np.tile(box[2:] - box[:2], 2)
                said = label if rng.random() < 0.8 else rng.integers(len(split.classes))
                rows.append([*np.sort(moved.reshape(2, 2), axis=0).ravel(), rng.random(), said])
        for _ in range(rng.integers(0, 4)):
            x, y = rng.uniform(0, 150, 2)
            rows.append([x, y, x + 20, y + 20, rng.random() / 2, rng.integers(len(split.classes))])
        table = np.array(rows, np.float64).reshape(-1, 6)
        table = table[np.argsort(-table[:, 4], kind="stable")]
        boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
        answers.append(Detections(boxes, scores, table[:, 5].astype(np.int64)))
    return answers


@pytest.fixture
def make_noisy() -> Callable[[PreparedSplit, int], list[Detections]]:
    return noisy


@pytest.fixture
def random_boxes() -> Callable[[int, int, list[str]], Boxes]:
    """Builds objects of random places and sizes in some images; some have none."""

    def build(seed: int, count: int, classes: list[str]) -> Boxes:
        rng = np.random.default_rng(seed)
        images: Boxes = {}
        for i in range(count):
            boxes = []
            for _ in range(rng.integers(0, 6)):
                x, y = rng.uniform(0, 80, 2)
                width, height = rng.uniform(5, 110, 2)
                corners = (x, y, min(200, x + width), min(160, y + height))
                boxes.append((classes[rng.integers(len(classes))], *(round(float(v), 1) for v in corners)))
            images[f"{seed}-{i:02d}.png"] = boxes
        return images

    return build


@pytest.fixture
def replay() -> Callable[..., Callable[[Any], list[Detections]]]:
    """Builds a predictor that gives prepared answers, one after the other."""

    def build(*answers: list[Detections]) -> Callable[[Any], list[Detections]]:
        queue = [found for group in answers for found in group]
        return lambda images: [queue.pop(0) for _ in images]

    return build
