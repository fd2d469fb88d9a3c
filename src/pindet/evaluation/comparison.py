"""Each detection beside the object that it found or failed to find.

Detections take objects greedily, best score first, as the COCO evaluation does; what becomes of a detection
therefore does not depend on those with a lower score, and one comparison serves every score threshold. The kinds of
error are those of Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020; where
two would fit a well-overlapping detection, the object that it overlaps more decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from faster_coco_eval.core import mask
from numpy.typing import NDArray
from pindet_serve.detections import Detections
from pindet_serve.letterbox import Boxes

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.settings import BACKGROUND_IOU

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Kind(StrEnum):
    """What a detection is; the order is that of the report."""

    CORRECT = "correct"
    """It overlaps an object of its class enough, and is the best to do so."""
    CLASSIFICATION = "classification"
    """It overlaps an object enough, of another class."""
    LOCALISATION = "localisation"
    """It overlaps an object of its class, but not enough."""
    BOTH = "both"
    """It overlaps an object of another class, and not enough."""
    DUPLICATE = "duplicate"
    """It overlaps an object of its class that a better detection has found."""
    BACKGROUND = "background"
    """It overlaps no object."""


KINDS = list(Kind)


@dataclass(frozen=True)
class ImageComparison:
    """One image: ``N`` detections, best score first, and ``M`` objects.

    Attributes:
        name: of the image.
        found: the detections.
        kinds: int64 ``[N]``, positions in ``KINDS``.
        partners: int64 ``[N]``, the object that a detection found or failed on; -1 on background.
        ious: float64 ``[N]``, overlap with the partner; 0 on background.
        boxes: float32 ``[M, 4]``, objects, xyxy in pixels.
        labels: int64 ``[M]``, their classes.
    """

    name: str
    found: Detections
    kinds: Ints
    partners: Ints
    ious: Floats
    boxes: Boxes
    labels: Ints

    def correct(self, score_threshold: float) -> Flags:
        """Bool ``[N]``: kept at the threshold and right."""
        return np.asarray((self.found.scores >= score_threshold) & (self.kinds == KINDS.index(Kind.CORRECT)))

    def objects_found(self, score_threshold: float) -> Flags:
        """Bool ``[M]``: which objects a detection found at the threshold."""
        flags = np.zeros(len(self.labels), np.bool_)
        flags[self.partners[self.correct(score_threshold)]] = True
        return flags


def compare(split: PreparedSplit, detections: Sequence[Detections], iou_threshold: float) -> list[ImageComparison]:
    """Compare the detections of each image, in the order of ``split``, with its objects."""
    return [
        compare_image(split.names[i], found, split.boxes(i), split.labels(i), iou_threshold)
        for i, found in enumerate(detections)
    ]


def compare_image(
    name: str, found: Detections, boxes: Boxes, labels: Ints, iou_threshold: float
) -> ImageComparison:
    """Compare ``found`` with the objects ``boxes`` float32 ``[M, 4]``, ``labels`` int64 ``[M]`` of one image."""
    order = np.argsort(-found.scores, kind="stable")
    found = Detections(found.boxes[order], found.scores[order], found.labels[order])
    overlaps = box_ious(found.boxes, boxes)
    same = found.labels[:, None] == labels[None, :]
    matches = match_greedily(np.where(same, overlaps, 0), iou_threshold)
    kinds, partners = _diagnose(overlaps, same, matches, iou_threshold)
    ious = np.zeros(len(found))
    paired = np.flatnonzero(partners >= 0)
    ious[paired] = overlaps[paired, partners[paired]]
    return ImageComparison(name, found, kinds, partners, ious, boxes, labels)


def match_greedily(overlaps: Floats, iou_threshold: float) -> Ints:
    """The object that each detection finds, int64 ``[N]``, -1 for none; the best scores come first in ``overlaps``.

    As COCO has it, each detection takes the object that it overlaps most of those that are free, if it overlaps that
    by ``iou_threshold`` at least.

    Args:
        overlaps: float64 ``[N, M]``; a pair of different classes overlaps by nothing.
        iou_threshold: more than 0.
    """
    matches = np.full(len(overlaps), -1, np.int64)
    if not overlaps.size:
        return matches
    free = np.ones(overlaps.shape[1], np.bool_)
    for i in np.flatnonzero(overlaps.max(axis=1) >= iou_threshold):
        best = int(np.argmax(np.where(free, overlaps[i], -1)))
        if free[best] and overlaps[i, best] >= iou_threshold:
            matches[i], free[best] = best, False
    return matches


def box_ious(first: Boxes, second: Boxes) -> Floats:
    """Intersection over union, float64 ``[N, M]``, of boxes xyxy ``[N, 4]`` and ``[M, 4]``."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    return np.asarray(mask.iou(_xywh(first), _xywh(second), [0] * len(second)), np.float64)


def _xywh(boxes: Boxes) -> Floats:
    corners = boxes.astype(np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _diagnose(overlaps: Floats, same: Flags, matches: Ints, iou_threshold: float) -> tuple[Ints, Ints]:
    kinds = np.full(len(overlaps), KINDS.index(Kind.BACKGROUND), np.int64)
    partners = np.full(len(overlaps), -1, np.int64)
    if overlaps.size:
        own, other = np.where(same, overlaps, -1), np.where(same, -1, overlaps)
        own_iou, other_iou = own.max(axis=1), other.max(axis=1)
        # From the weakest claim to the strongest: a later one overrides.
        claims = [
            (other_iou >= BACKGROUND_IOU, Kind.BOTH, other),
            (own_iou >= BACKGROUND_IOU, Kind.LOCALISATION, own),
            (other_iou >= iou_threshold, Kind.CLASSIFICATION, other),
            ((own_iou >= iou_threshold) & (own_iou >= other_iou), Kind.DUPLICATE, own),
        ]
        for applies, kind, candidates in claims:
            kinds[applies] = KINDS.index(kind)
            partners[applies] = candidates.argmax(axis=1)[applies]
    right = matches >= 0
    kinds[right], partners[right] = KINDS.index(Kind.CORRECT), matches[right]
    return kinds, partners
