"""One model measured on every draw of the test images: average precision, and F1 at its operating point."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pindet.evaluation.answers import Answers
from pindet.evaluation.average_precision import average_precisions
from pindet.evaluation.bootstrap import ALL, Draws
from pindet.evaluation.matching import Matches, match_classes
from pindet.promotion.comparison.operating import f1_scores
from pindet.promotion.errors import PromotionError
from pindet.promotion.progress import each

_PART = 100
"""Draws that are measured at a time, so that progress shows."""
_SILENT_SECONDS = 2.0


@dataclass(frozen=True)
class Resampled:
    """A measure of one model on all images and on each resample, float64 ``[1 + B]``; ``map`` by class and for all."""

    map: dict[str, NDArray[np.float64]]
    f1: NDArray[np.float64]


def resample(answers: Answers, draws: Draws, what: str = "comparing") -> Resampled:
    """Measure a model on every draw.

    Args:
        what: names it for those who wait.

    Raises:
        PromotionError: there are no test images.
    """
    try:
        counts = draws.counts(len(answers.names))
    except ValueError as error:
        raise PromotionError(str(error)) from error
    return Resampled(_map_of_draws(answers, counts, what), f1_scores(answers, counts))


def _map_of_draws(answers: Answers, counts: NDArray[np.int64], what: str) -> dict[str, NDArray[np.float64]]:
    """What :func:`pindet.evaluation.bootstrap.map_of_draws` gives, with progress: many images take minutes."""
    by_class = np.empty((len(answers.classes), len(counts)))
    steps = [(label, start) for label in range(len(by_class)) for start in range(0, len(counts), _PART)]
    for label, start in each(steps, what, silent_s=_SILENT_SECONDS):
        if start == 0:
            matches = _match_class(answers, label)
        part = slice(start, start + _PART)
        by_class[label, part] = average_precisions(matches, counts[part])
    defined = ~np.isnan(by_class)
    total = np.where(defined, by_class, 0.0).sum(axis=0)
    mean = np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)
    return {ALL: mean, **dict(zip(answers.classes, by_class, strict=True))}


def _match_class(answers: Answers, label: int) -> Matches:
    """Match one class alone."""
    truths, detections = (
        [np.column_stack([rows[rows[:, -1] == label, :-1], np.zeros((rows[:, -1] == label).sum())]) for rows in images]
        for images in (answers.truths, answers.detections)
    )
    only = replace(answers, classes=[answers.classes[label]], truths=truths, detections=detections)
    (matches,) = match_classes(only)
    return matches
