"""What a model answered on each test image, as its evaluation wrote it down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pindet.promotion.errors import PromotionError


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


@lru_cache(maxsize=4)  # a file's name is its md5; one comparison asks for the same answers several times
def read_answers(path: Path, origin: str) -> Answers:
    """Read ``per_image.json``.

    Raises:
        PromotionError: it is not as the evaluate stage writes it; ``origin`` says whose it is.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        images = content["images"]
        return Answers(
            classes=[str(name) for name in content["classes"]],
            score_threshold=float(content["score_threshold"]),
            iou_threshold=float(content["iou_threshold"]),
            names=[str(image["file_name"]) for image in images],
            truths=[np.array(image["truths"], np.float64).reshape(-1, 5) for image in images],
            detections=[np.array(image["detections"], np.float64).reshape(-1, 6) for image in images],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PromotionError(
            f"per_image.json of {origin} is not as evaluate writes it ({error!r}); run dvc repro evaluate there"
        ) from error
