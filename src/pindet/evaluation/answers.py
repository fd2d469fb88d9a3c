"""What a model answered on each test image, beside what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pindet.evaluation.comparison import ImageComparison


@dataclass(frozen=True)
class Answers:
    """The contents of ``reports/evaluate/per_image.json``: ``N`` images with objects and detections.

    Attributes:
        classes: class names in label order.
        score_threshold: of the operating point.
        iou_threshold: from which on a detection has found an object, at the operating point.
        names: ``N`` image names.
        truths: of each image float64 ``[M, 5]``: x1, y1, x2, y2 in pixels and label.
        detections: of each image float64 ``[D, 6]``: x1, y1, x2, y2 in pixels, score and label; best score first.
    """

    classes: list[str]
    score_threshold: float
    iou_threshold: float
    names: list[str]
    truths: list[NDArray[np.float64]]
    detections: list[NDArray[np.float64]]

    def same_truth(self, other: Answers) -> bool:
        """Whether both were asked about the same images with the same objects."""
        return (
            self.classes == other.classes
            and self.names == other.names
            and all(np.array_equal(one, two) for one, two in zip(self.truths, other.truths, strict=True))
        )


def answers_of(
    images: Sequence[ImageComparison], classes: list[str], *, score_threshold: float, iou_threshold: float
) -> Answers:
    """The answers that were compared."""
    return Answers(
        classes=classes,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        names=[image.name for image in images],
        truths=[np.column_stack([image.boxes, image.labels]).astype(np.float64) for image in images],
        detections=[
            np.column_stack([image.found.boxes, image.found.scores, image.found.labels]).astype(np.float64)
            for image in images
        ],
    )
