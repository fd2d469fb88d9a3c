"""F1 at the operating point, of many resamples of the images at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pindet_serve.detections import Detections

from pindet.evaluation.answers import Answers
from pindet.evaluation.comparison import ImageComparison, compare_image


def f1_scores(answers: Answers, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 over all classes, float64 ``[B]``, of each resample ``counts`` int64 ``[B, N]``; NaN if nothing is there."""
    rows = np.array([_tally(answers, i) for i in range(len(answers.names))], np.int64)
    right, kept, objects = (counts @ rows[:, column] for column in range(3))
    total = kept + objects
    return np.where(total > 0, 2 * right / np.maximum(total, 1), np.nan)


def compared(answers: Answers, i: int) -> ImageComparison:
    """Image ``i`` beside its objects, as the evaluation compares them."""
    truths, detections = answers.truths[i], answers.detections[i]
    found = Detections(
        detections[:, :4].astype(np.float32), detections[:, 4].astype(np.float32), detections[:, 5].astype(np.int64)
    )
    boxes, labels = truths[:, :4].astype(np.float32), truths[:, 4].astype(np.int64)
    return compare_image(answers.names[i], found, boxes, labels, answers.iou_threshold)


def _tally(answers: Answers, i: int) -> tuple[int, int, int]:
    image = compared(answers, i)
    threshold = float(np.float32(answers.score_threshold))
    kept = int((image.found.scores >= threshold).sum())
    return int(image.correct(threshold).sum()), kept, len(image.labels)
