"""COCO's average precision of many resamples of the images at once.

A resample gives each image a count: how often it was drawn. Average precision is that of the images repeated so; with
all counts 1 it is the one that the evaluation reports (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV
2014: precision, made to fall, at 101 recalls).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pindet.evaluation.curves import RECALLS
from pindet.evaluation.matching import Matches

_MOST_CELLS = 4_000_000
"""Of one intermediate array; a limit to memory, not to size."""


def average_precisions(matches: Matches, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average precision over IoU 0.50:0.95, float64 ``[B]``, of each resample ``counts`` int64 ``[B, N]``.

    NaN for a resample that holds no object of the class.
    """
    objects = counts @ matches.objects
    needed = _right_needed(objects)
    right = [np.flatnonzero(found) for found in matches.found]
    end = max((int(places[-1]) + 1 for places in right if len(places)), default=0)  # what follows changes no recall
    precision = np.zeros(len(counts))
    rows = max(1, _MOST_CELLS // max(end, 1))
    for start in range(0, len(counts) if end else 0, rows):
        part = slice(start, start + rows)
        drawn = counts[part][:, matches.images[:end]]
        seen = np.cumsum(drawn, axis=1)
        for places in right:
            if len(places):
                precision[part] += _interpolated(seen[:, places], drawn[:, places], needed[part])
    return np.where(objects > 0, precision / len(matches.found), np.nan)


def _interpolated(seen: NDArray[np.int64], drawn: NDArray[np.int64], needed: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average precision ``[B]`` at one overlap, from its ``R`` right detections: between them precision only falls.

    Args:
        seen: ``[B, R]``, detections up to each, itself included.
        drawn: ``[B, R]``, how often each counts.
        needed: ``[B, 101]``, see :func:`_right_needed`.
    """
    right = np.cumsum(drawn, axis=1)
    precision = right / np.maximum(seen, 1)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # Each row is sorted; shifted by more than any value in it, all rows together are.
    shift = (int(right.max()) + int(needed.max()) + 2) * np.arange(len(drawn))[:, None]
    places = np.searchsorted((right + shift).ravel(), (needed + shift).ravel(), side="left").reshape(needed.shape)
    places -= np.arange(len(drawn))[:, None] * right.shape[1]
    reached = places < right.shape[1]
    values = np.take_along_axis(falling, np.minimum(places, right.shape[1] - 1), axis=1)
    return np.asarray(np.where(reached, values, 0.0).mean(axis=1))


def _right_needed(objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64 ``[B, 101]``: how many right detections reach each recall, with the rounding of a division."""
    total = np.maximum(objects, 1)[:, None]
    needed = np.ceil(RECALLS * total).astype(np.int64)
    needed = np.where((needed - 1) / total >= RECALLS, needed - 1, needed)
    return np.asarray(np.where(needed / total < RECALLS, needed + 1, needed))
