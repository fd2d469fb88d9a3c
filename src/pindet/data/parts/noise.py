"""Random fields, from a generator alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""float32 ``[H, W]``."""


def smooth(rng: np.random.Generator, height: int, width: int, cell_height: float, cell_width: float) -> Field:
    """Smooth noise, roughly in -1..1, whose blobs are ``cell_height`` x ``cell_width`` pixels."""
    rows, columns = (max(2, round(n / cell) + 2) for n, cell in ((height, cell_height), (width, cell_width)))
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def grain(rng: np.random.Generator, height: int, width: int) -> Field:
    """White noise of standard deviation 1."""
    return rng.standard_normal((height, width), np.float32)


def triangle(x: NDArray[np.floating[Any]]) -> Field:
    """Triangle wave of period 1 between 0 and 1, 1 at whole numbers."""
    return np.asarray(np.abs((x - np.floor(x)) * 2 - 1), np.float32)


def ramp(x: NDArray[np.floating[Any]], start: float, end: float) -> Field:
    """0 before ``start``, 1 after ``end``, smooth between; ``end`` may lie before ``start``."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
