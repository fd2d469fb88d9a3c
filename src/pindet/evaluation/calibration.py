"""Does a score of 0.8 mean right in 80 of 100 cases?

The expected calibration error (Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
AAAI 2015), with the precision of detections in place of the accuracy of a classifier (Küppers et al., "Multivariate
Confidence Calibration for Object Detection", CVPR workshops 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pindet.evaluation.curves import Scored


@dataclass(frozen=True)
class Bin:
    """Detections with ``low`` < score <= ``high`` (the first bin includes 0): their number, mean score, precision."""

    low: float
    high: float
    count: int
    confidence: float
    precision: float


def reliability(found: Scored, bin_count: int) -> list[Bin]:
    """The bins of equal width that hold any detection, lowest first."""
    edges = np.linspace(0, 1, bin_count + 1)
    places = np.clip(np.searchsorted(edges, found.scores, side="left") - 1, 0, bin_count - 1)
    bins = []
    for k in range(bin_count):
        chosen = places == k
        if chosen.any():
            confidence, precision = float(found.scores[chosen].mean()), float(found.hits[chosen].mean())
            bins.append(Bin(float(edges[k]), float(edges[k + 1]), int(chosen.sum()), confidence, precision))
    return bins


def expected_calibration_error(bins: list[Bin]) -> float | None:
    """Mean distance of score and precision over all detections, 0–1, or ``None`` without detections."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.precision) for b in bins) / total if total else None
