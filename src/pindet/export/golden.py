"""Which images of the test split become golden images."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from pindet_serve.detections import Detections
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox

LARGEST = 2.5
"""Golden images are shrunk to this many times the sides of the model's input: small, and still halved on the way."""


def golden_threshold(found: Sequence[Detections], score_threshold: float) -> float:
    """The operating point's threshold; half the best score of all when nothing reaches it (a barely trained model).

    Raises:
        ValueError: nothing was found in any image, whatever the score.
    """
    best = max((float(one.scores.max()) for one in found if len(one)), default=0.0)
    if best == 0:
        raise ValueError(
            f"the model finds nothing in the {len(found)} images of the test split, and a bundle has to prove itself "
            "on some; train longer, or give the test split images with objects"
        )
    return score_threshold if best >= score_threshold else round(best / 2, 4)


def choose_golden(found: Sequence[Detections], score_threshold: float, count: int) -> list[int]:
    """Positions of up to ``count`` images in which something is found at the threshold.

    Each is the one that shows most classes not seen yet; of equal ones that with the fewest objects, then the first.
    """
    every = {i: one.labels[one.scores >= score_threshold] for i, one in enumerate(found)}
    labels = {i: shown for i, shown in every.items() if len(shown)}
    chosen: list[int] = []
    seen: set[int] = set()
    while labels and len(chosen) < count:
        best = min(labels, key=lambda i: (-len(set(labels[i].tolist()) - seen), len(labels[i]), i))
        chosen.append(best)
        seen |= set(labels.pop(best).tolist())
    return chosen


def shrink(image: Image, image_height: int, image_width: int) -> Image:
    """Make an image at most :data:`LARGEST` times the size of the model's input, keeping its aspect."""
    height, width = image.shape[:2]
    placement = Letterbox(round(LARGEST * image_height), round(LARGEST * image_width)).place(height, width)
    if placement.resized_height >= height:
        return image
    size = (placement.resized_width, placement.resized_height)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
