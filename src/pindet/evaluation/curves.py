"""Precision, recall and F1 over every score threshold, and the threshold of the best F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pindet.evaluation.comparison import KINDS, Flags, Floats, ImageComparison, Kind

RECALLS = np.linspace(0, 1, 101)
"""Where COCO reads the precision."""


@dataclass(frozen=True)
class Scored:
    """Detections of one class, or of all: ``scores`` float64 ``[N]``, best first, ``hits`` bool ``[N]``, and how
    many objects there are to find."""

    scores: Floats
    hits: Flags
    objects: int


@dataclass(frozen=True)
class Curve:
    """Values, float64 ``[T]``, when exactly the detections with a score of at least ``scores`` are kept.

    ``scores`` fall strictly; ``recall`` is 0 where there is no object.
    """

    scores: Floats
    precision: Floats
    recall: Floats
    f1: Floats


@dataclass(frozen=True)
class Counts:
    """What is right and wrong at one threshold; a rate without anything to measure it on is ``None``."""

    objects: int
    true_positives: int
    false_positives: int

    @property
    def false_negatives(self) -> int:
        return self.objects - self.true_positives

    @property
    def precision(self) -> float | None:
        kept = self.true_positives + self.false_positives
        return self.true_positives / kept if kept else None

    @property
    def recall(self) -> float | None:
        return self.true_positives / self.objects if self.objects else None

    @property
    def f1(self) -> float | None:
        both = self.objects + self.true_positives + self.false_positives
        return 2 * self.true_positives / both if both else None


def scored(images: Sequence[ImageComparison], class_count: int) -> tuple[Scored, list[Scored]]:
    """Gather the detections and objects of all classes, and those of each class."""
    scores = np.concatenate([np.zeros(0), *(image.found.scores.astype(np.float64) for image in images)])
    kinds, labels, objects = (
        np.concatenate([np.zeros(0, np.int64), *arrays])
        for arrays in ([i.kinds for i in images], [i.found.labels for i in images], [i.labels for i in images])
    )
    order = np.argsort(-scores, kind="stable")
    scores, labels, hits = scores[order], labels[order], kinds[order] == KINDS.index(Kind.CORRECT)
    counts = np.bincount(objects, minlength=class_count)
    per_class = [Scored(scores[labels == k], hits[labels == k], int(counts[k])) for k in range(class_count)]
    return Scored(scores, hits, len(objects)), per_class


def curve(found: Scored) -> Curve:
    """Precision, recall and F1 at each distinct score."""
    last = np.flatnonzero(np.diff(found.scores, append=-1.0))  # of several equal scores all are kept, or none
    right = np.cumsum(found.hits)[last].astype(np.float64)
    kept = last + 1.0
    recall = right / found.objects if found.objects else np.zeros_like(right)
    return Curve(found.scores[last], right / kept, recall, 2 * right / (kept + found.objects))


def counts_at(found: Scored, score_threshold: float) -> Counts:
    """Count with the detections of at least ``score_threshold``."""
    kept = found.scores >= np.float32(score_threshold)  # scores are float32 wherever else they are compared
    right = int(found.hits[kept].sum())
    return Counts(found.objects, right, int(kept.sum()) - right)


def best_threshold(found: Scored) -> float | None:
    """The score threshold with the best F1, or ``None`` if no threshold finds any object.

    Of several equally good ones the highest. The number lies halfway to the next lower score, so that a score that
    another runtime rounds otherwise stays on its side, and has few decimals.
    """
    if not found.hits.any():
        return None
    values = curve(found)
    best = int(np.argmax(values.f1))
    upper = float(values.scores[best])
    lower = float(values.scores[best + 1]) if best + 1 < len(values.scores) else None
    middle = upper if lower is None else (lower + upper) / 2
    for decimals in (2, 3, 4, 5, 6):
        rounded = round(middle, decimals)
        if (lower or 0) < np.float32(rounded) <= upper:
            return rounded
    return upper


def interpolated(found: Scored) -> tuple[Floats, Floats]:
    """Precision ``[101]`` at ``RECALLS`` as COCO reads it (the best at that recall or more; 0 beyond the last), and
    the score ``[101]`` that reaches that recall (0 beyond the last)."""
    precision, score = np.zeros(len(RECALLS)), np.zeros(len(RECALLS))
    if not found.objects or not len(found.scores):
        return precision, score
    right = np.cumsum(found.hits)
    best = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(right / found.objects, RECALLS, side="left")
    reached = places < len(right)
    precision[reached], score[reached] = best[places[reached]], found.scores[places[reached]]
    return precision, score


def average_precision(found: Scored) -> float | None:
    """COCO's average precision, or ``None`` without objects."""
    return float(interpolated(found)[0].mean()) if found.objects else None
