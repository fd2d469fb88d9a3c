"""Which class is taken for which, at the operating point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pindet.evaluation.comparison import Floats, ImageComparison, Ints, box_ious


def confusion(
    images: Sequence[ImageComparison], class_count: int, score_threshold: float, iou_threshold: float
) -> Ints:
    """Count pairs of object and detection, int64 ``[C + 1, C + 1]``, rows actual, columns predicted.

    Detections and objects of the same class pair first, as for average precision, so that the diagonal counts the
    true positives; what is left pairs across classes, greatest overlap first. The last row counts detections on
    background, the last column objects that were missed.
    """
    matrix = np.zeros((class_count + 1, class_count + 1), np.int64)
    for image in images:
        right, found = image.correct(score_threshold), image.objects_found(score_threshold)
        for label in image.found.labels[right]:
            matrix[label, label] += 1
        loose = np.flatnonzero((image.found.scores >= score_threshold) & ~right)
        missed = np.flatnonzero(~found)
        pairs = _pairs(box_ious(image.found.boxes[loose], image.boxes[missed]), iou_threshold)
        for i, j in pairs:
            matrix[image.labels[missed[j]], image.found.labels[loose[i]]] += 1
        for label in np.delete(image.found.labels[loose], [i for i, _ in pairs]):
            matrix[class_count, label] += 1
        for label in np.delete(image.labels[missed], [j for _, j in pairs]):
            matrix[label, class_count] += 1
    return matrix


def _pairs(overlaps: Floats, iou_threshold: float) -> list[tuple[int, int]]:
    """One-to-one pairs (row, column), greatest overlap first."""
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(overlaps >= iou_threshold)
    for k in np.argsort(-overlaps[rows, columns], kind="stable"):
        i, j = int(rows[k]), int(columns[k])
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs
