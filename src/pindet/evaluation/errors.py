"""How many errors of each kind there are, and what repairing them would gain (TIDE, see :mod:`.comparison`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pindet.evaluation.comparison import KINDS, Flags, ImageComparison, Ints, Kind
from pindet.evaluation.curves import Scored, average_precision

MISSED = "missed"
"""An object that no detection found, and that no error of classification or localisation accounts for."""
_REPAIRABLE = (KINDS.index(Kind.CLASSIFICATION), KINDS.index(Kind.LOCALISATION))


@dataclass(frozen=True)
class ErrorRow:
    """One kind of error.

    Attributes:
        kind: a :class:`Kind` or ``missed``.
        count: at the operating point.
        map_gain: how much the mean average precision at the IoU threshold, over all scores, would rise without it.
    """

    kind: str
    count: int
    map_gain: float | None


def error_rows(images: Sequence[ImageComparison], class_count: int, score_threshold: float) -> list[ErrorRow]:
    """One row for each kind of error."""
    base = _mean_precision(images, class_count, _unchanged)
    rows = []
    for code, kind in enumerate(KINDS):
        if kind is Kind.CORRECT:
            continue
        count = sum(int(((im.kinds == code) & (im.found.scores >= score_threshold)).sum()) for im in images)
        rows.append(ErrorRow(kind.value, count, _gain(base, images, class_count, _repair(code))))
    count = sum(int(missed(image, score_threshold).sum()) for image in images)
    rows.append(ErrorRow(MISSED, count, _gain(base, images, class_count, _forgive_missed)))
    return rows


def missed(image: ImageComparison, score_threshold: float) -> Flags:
    """Bool ``[M]``: objects not found that no detection of wrong class, and none that fits badly, accounts for."""
    flags = ~image.objects_found(score_threshold)
    kept = (image.found.scores >= score_threshold) & np.isin(image.kinds, _REPAIRABLE)
    flags[image.partners[kept]] = False
    return flags


@dataclass(frozen=True)
class _Repaired:
    """An image's detections ``scores``, ``labels``, ``hits`` ``[N]`` and the labels of the objects to find ``[M]``."""

    scores: np.ndarray[tuple[int], np.dtype[np.float32]]
    labels: Ints
    hits: Flags
    objects: Ints


_Repair = Callable[[ImageComparison], _Repaired]


def _unchanged(image: ImageComparison) -> _Repaired:
    hits = image.kinds == KINDS.index(Kind.CORRECT)
    return _Repaired(image.found.scores, image.found.labels, hits, image.labels)


def _repair(code: int) -> _Repair:
    """Drop the detections of kind ``code``; the best one of an object not found becomes right, where it could."""

    def repaired(image: ImageComparison) -> _Repaired:
        before = _unchanged(image)
        keep, labels, hits = image.kinds != code, before.labels.copy(), before.hits.copy()
        taken = image.objects_found(0)
        for i in np.flatnonzero(~keep) if code in _REPAIRABLE else ():
            partner = image.partners[i]
            if not taken[partner]:
                keep[i], hits[i], labels[i], taken[partner] = True, True, image.labels[partner], True
        return _Repaired(before.scores[keep], labels[keep], hits[keep], before.objects)

    return repaired


def _forgive_missed(image: ImageComparison) -> _Repaired:
    before = _unchanged(image)
    return _Repaired(before.scores, before.labels, before.hits, before.objects[~missed(image, 0)])


def _mean_precision(images: Sequence[ImageComparison], class_count: int, repair: _Repair) -> float | None:
    repaired = [repair(image) for image in images]
    if not repaired:
        return None
    scores = np.concatenate([r.scores for r in repaired]).astype(np.float64)
    labels, hits = np.concatenate([r.labels for r in repaired]), np.concatenate([r.hits for r in repaired])
    objects = np.bincount(np.concatenate([r.objects for r in repaired]), minlength=class_count)
    order = np.argsort(-scores, kind="stable")
    values = []
    for label in range(class_count):
        chosen = order[labels[order] == label]
        values.append(average_precision(Scored(scores[chosen], hits[chosen], int(objects[label]))))
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _gain(base: float | None, images: Sequence[ImageComparison], class_count: int, repair: _Repair) -> float | None:
    after = _mean_precision(images, class_count, repair)
    # Where every object is forgiven nothing is left to be wrong about.
    return None if base is None else (1.0 if after is None else after) - base
