"""Pictures that need no data set: what the other scripts measure with."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from pindet_serve.images import Image


def pictures(count: int) -> Iterator[Image]:
    """Images uint8 ``[480, 640, 3]`` with structure, the same each time."""
    random = np.random.default_rng(0)
    for _ in range(count):
        blurred = cv2.GaussianBlur(random.integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 3)
        yield np.asarray(cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX), np.uint8)
