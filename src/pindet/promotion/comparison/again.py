"""A bundle asked about the test images of another revision, where the two were measured on different ones."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pindet_serve.detections import Detections
from pindet_serve.detector import Detector

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.answers import Answers
from pindet.promotion.errors import PromotionError
from pindet.promotion.objects import Objects
from pindet.promotion.progress import each
from pindet.promotion.proof import cached_bundle
from pindet.promotion.revision import BUNDLE, PREPARED, Revision


def answers_on(objects: Objects, revision: Revision, asked: Answers, data: Revision) -> Answers:
    """What the bundle of a revision answers on the test images of another.

    Args:
        asked: what the other's own model answered, beside the objects that are there.
        data: the other, whose prepared data hold the images.

    Returns:
        the bundle's detections beside the same objects, at the bundle's own threshold.

    Raises:
        PromotionError: bundle or images can not be had, or the bundle knows other classes.
    """
    with cached_bundle(objects, revision.out(BUNDLE)) as detector, tempfile.TemporaryDirectory() as folder:
        position = _positions(detector.manifest.classes, revision, asked.classes, data)
        split = PreparedSplit(_test_images(objects, data, Path(folder)), "test")
        places = {name: i for i, name in enumerate(split.names)}
        found = [
            _rows(_detect(detector, split, places[name]), position)
            for name in each(asked.names, f"measuring {revision.shown} on the test images of {data.shown}")
        ]
    threshold = detector.manifest.score_threshold
    return Answers(asked.classes, threshold, asked.iou_threshold, asked.names, asked.truths, found)


def learnt_from(objects: Objects, revision: Revision, data: Revision) -> int:
    """How many test images of ``data`` are among those that ``revision`` was trained on or chosen with.

    Raises:
        PromotionError: the lists of either can not be had.
    """
    known = _files(objects, revision, "train") | _files(objects, revision, "val")
    return len(known & _files(objects, data, "test"))


def _positions(classes: list[str], revision: Revision, wanted: list[str], data: Revision) -> NDArray[np.int64]:
    """The label of each class of a bundle among those that are wanted."""
    if set(classes) != set(wanted):
        raise PromotionError(
            f"{revision.shown} knows the classes {', '.join(classes)}, the test images of {data.shown} have "
            f"{', '.join(wanted)}: no figure would be fair"
        )
    return np.array([wanted.index(name) for name in classes], np.int64)


def _detect(detector: Detector, split: PreparedSplit, i: int) -> Detections:
    (found,) = detector.detect([split.image(i)], score_threshold=0)
    return found


def _rows(found: Detections, position: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.column_stack([found.boxes, found.scores, position[found.labels]]).astype(np.float64)


def _test_images(objects: Objects, data: Revision, folder: Path) -> Path:
    """Make the test split of prepared data appear in a folder."""
    for entry in objects.listing(data.out(PREPARED)):
        if entry.path.startswith("test/"):
            (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / entry.path).symlink_to(objects.read(entry.md5).absolute())
    return folder


def _files(objects: Objects, revision: Revision, split: str) -> set[tuple[str, int]]:
    """Name and size of each stored image of a split; the name alone may be used again for another picture."""
    listed = {entry.path: entry.md5 for entry in objects.listing(revision.out(PREPARED))}
    index = listed.get(f"{split}/index.json")
    if index is None:
        return set()
    content = json.loads(objects.read(index).read_text("utf-8"))
    return {(str(name), int(place["size"])) for name, place in content.items()}
