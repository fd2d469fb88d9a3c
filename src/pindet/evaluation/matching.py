"""Which detections find an object, at each of COCO's overlaps, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pindet.evaluation.answers import Answers
from pindet.evaluation.comparison import box_ious, match_greedily

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's: 0.50, 0.55, …, 0.95."""


@dataclass(frozen=True)
class Matches:
    """One class: its ``D`` detections on ``N`` images, best score first, and its objects.

    Attributes:
        images: int64 ``[D]``, the image of each detection.
        scores: float64 ``[D]``.
        found: bool ``[T, D]``, whether it finds an object, at each of :data:`IOU_THRESHOLDS`.
        objects: int64 ``[N]``, objects of each image.
    """

    images: NDArray[np.int64]
    scores: NDArray[np.float64]
    found: NDArray[np.bool_]
    objects: NDArray[np.int64]


def match_classes(answers: Answers) -> list[Matches]:
    """Match every class of a model's answers, in label order."""
    return [match_class(answers, label) for label in range(len(answers.classes))]


def match_class(answers: Answers, label: int) -> Matches:
    """Match one class of a model's answers."""
    images: list[int] = []
    scores: list[NDArray[np.float64]] = [np.zeros(0)]
    found: list[NDArray[np.bool_]] = [np.zeros((len(IOU_THRESHOLDS), 0), np.bool_)]
    objects = np.zeros(len(answers.names), np.int64)
    for i, (truths, detections) in enumerate(zip(answers.truths, answers.detections, strict=True)):
        boxes = truths[truths[:, 4] == label, :4]
        own = detections[detections[:, 5] == label]
        own = own[np.argsort(-own[:, 4], kind="stable")]
        objects[i] = len(boxes)
        images += [i] * len(own)
        scores.append(own[:, 4])
        found.append(_match_image(own[:, :4], boxes))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    return Matches(np.array(images, np.int64)[order], score[order], np.concatenate(found, axis=1)[:, order], objects)


def _match_image(own: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Bool ``[T, D]``: whether each detection, best score first, finds an object at each overlap."""
    overlaps = box_ious(own.astype(np.float32), boxes.astype(np.float32))
    return np.stack([match_greedily(overlaps, float(least)) >= 0 for least in IOU_THRESHOLDS])
