"""How long an answer takes on this machine. Never part of a hashed output: it differs from run to run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from pindet_serve.detector import Detector
from pindet_serve.images import Image

WARM_UP = 3


def measure_latency(detector: Detector, images: Sequence[Image], *, runs: int) -> dict[str, float]:
    """Time single images, from decoded pixels to detections, letterbox included.

    Args:
        detector: of the bundle to time.
        images: taken in turn, at least one.
        runs: how many are timed, after a few that are not.

    Returns:
        ``p50_ms`` and ``p95_ms``.

    Raises:
        ValueError: no images.
    """
    if not images:
        raise ValueError("no images to time; at least 1 is allowed")
    seconds = []
    for turn in range(WARM_UP + runs):
        start = time.perf_counter()
        detector.detect([images[turn % len(images)]])
        seconds.append(time.perf_counter() - start)
    p50, p95 = np.percentile(np.array(seconds[WARM_UP:]) * 1000, [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95)}
