"""Labels that the model contradicts although it is as sure as where it is right: mistakes of the data, perhaps.

The idea is that of confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70, 2021): a class's threshold is the mean score of what is rightly found of it, so that a class
of which the model is rarely sure has its suspects too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pindet.evaluation.comparison import KINDS, ImageComparison, Kind


class Doubt(StrEnum):
    """What seems to be wrong with a label."""

    MISSING = "missing"
    """An object of this class seems to be there, without a label."""
    CLASS = "class"
    """The labelled object seems to be of another class."""
    PLACE = "place"
    """The box seems to be badly drawn."""


DOUBTS = {Kind.BACKGROUND: Doubt.MISSING, Kind.CLASSIFICATION: Doubt.CLASS, Kind.LOCALISATION: Doubt.PLACE}


@dataclass(frozen=True)
class Suspect:
    """One doubtful label.

    Attributes:
        split, position: the image, by its place in the split.
        doubt: what seems to be wrong.
        detection: position of the detection that says so, in the image's comparison.
        truth: position of the doubtful object; ``None`` where one seems to be missing.
        score: of the detection.
    """

    split: str
    position: int
    doubt: Doubt
    detection: int
    truth: int | None
    score: float


def find_suspects(
    splits: Sequence[tuple[str, Sequence[ImageComparison]]], class_count: int, score_threshold: float
) -> list[Suspect]:
    """Return the doubtful labels of named splits, the surest first."""
    images = [image for _, compared in splits for image in compared]
    sure = _sure(images, class_count, score_threshold)
    suspects = [
        suspect
        for name, compared in splits
        for position, image in enumerate(compared)
        for suspect in _of_image(name, position, image, sure, score_threshold)
    ]
    return sorted(suspects, key=lambda s: (-s.score, s.split, s.position, s.detection))


def _sure(images: Sequence[ImageComparison], class_count: int, score_threshold: float) -> list[float]:
    """The mean score of what is found rightly of each class; infinite for a class of which nothing is."""
    scores: list[list[float]] = [[] for _ in range(class_count)]
    for image in images:
        right = image.correct(score_threshold)
        for label, score in zip(image.found.labels[right].tolist(), image.found.scores[right].tolist(), strict=True):
            scores[label].append(score)
    return [float(np.mean(of_class)) if of_class else float("inf") for of_class in scores]


def _of_image(
    split: str, position: int, image: ImageComparison, sure: Sequence[float], score_threshold: float
) -> list[Suspect]:
    found = image.objects_found(score_threshold)
    suspects = []
    for i, (kind, label, score) in enumerate(
        zip(image.kinds.tolist(), image.found.labels.tolist(), image.found.scores.tolist(), strict=True)
    ):
        doubt, partner = DOUBTS.get(KINDS[kind]), int(image.partners[i])
        if doubt is None or score < sure[label] or (partner >= 0 and found[partner]):
            continue  # an object that another detection confirms is no suspect
        suspects.append(Suspect(split, position, doubt, i, partner if partner >= 0 else None, score))
    return suspects
