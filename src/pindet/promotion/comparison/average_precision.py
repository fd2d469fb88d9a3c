"""COCO's average precision of many resamples of the images at once.

A resample gives each image a count: how often it was drawn. Average precision is that of the images repeated so; with
all counts 1 it is the one that the evaluation reports (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV
2014: precision, made to fall, at 101 recalls).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pindet.promotion.comparison.matching import Matches

RECALLS = np.linspace(0, 1, 101)
_MOST_CELLS = 4_000_000
"""Of one intermediate array; a limit to memory, not to size."""


def average_precisions(matches: Matches, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average precision over IoU 0.50:0.95, float64 ``[B]``, of each resample ``counts`` int64 ``[B, N]``.

    NaN for a resample that holds no object of the class.
    """
    objects = counts @ matches.objects
    precision, needed = np.zeros(len(counts)), _right_needed(objects)
    for found in matches.found:
        precision += _at_one_overlap(matches.images, found, counts, needed)
    precision /= len(matches.found)
    return np.where(objects > 0, precision, np.nan)


def _at_one_overlap(
    images: NDArray[np.int64], found: NDArray[np.bool_], counts: NDArray[np.int64], needed: NDArray[np.int64]
) -> NDArray[np.float64]:
    right = np.flatnonzero(found)
    if not len(right):
        return np.zeros(len(counts))
    end = int(right[-1]) + 1  # what follows the last right detection changes no recall
    images, found = images[:end], found[:end]
    rows = max(1, _MOST_CELLS // end)
    parts = [
        _interpolated(counts[start : start + rows], needed[start : start + rows], images, found)
        for start in range(0, len(counts), rows)
    ]
    return np.concatenate(parts)


def _interpolated(
    counts: NDArray[np.int64], needed: NDArray[np.int64], images: NDArray[np.int64], found: NDArray[np.bool_]
) -> NDArray[np.float64]:
    drawn = counts[:, images]
    seen = np.cumsum(drawn, axis=1)
    right = np.cumsum(np.where(found, drawn, 0), axis=1)
    precision = right / np.maximum(seen, 1)
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # Each row is sorted; shifted by more than any value in it, all rows together are.
    shift = (int(right.max()) + int(needed.max()) + 2) * np.arange(len(counts))[:, None]
    places = np.searchsorted((right + shift).ravel(), (needed + shift).ravel(), side="left").reshape(needed.shape)
    places -= np.arange(len(counts))[:, None] * right.shape[1]
    reached = places < right.shape[1]
    values = np.take_along_axis(falling, np.minimum(places, right.shape[1] - 1), axis=1)
    return np.asarray(np.where(reached, values, 0.0).mean(axis=1))


def _right_needed(objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64 ``[B, 101]``: how many right detections reach each recall, with the rounding of a division."""
    total = np.maximum(objects, 1)[:, None]
    needed = np.ceil(RECALLS * total).astype(np.int64)
    needed = np.where((needed - 1) / total >= RECALLS, needed - 1, needed)
    return np.asarray(np.where(needed / total < RECALLS, needed + 1, needed))
