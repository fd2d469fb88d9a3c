"""Which class is taken for which, at the operating point.

Rows and columns come from the diagnosis that the kinds of error come from (:mod:`.comparison`), so that the two can be
told side by side: every kind of error is in known cells of the matrix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pindet.evaluation.comparison import KINDS, ImageComparison, Ints, Kind
from pindet.evaluation.errors import MISSED, missed


@dataclass(frozen=True)
class Confusion:
    """Pairs of object and detection, and what is left over.

    Attributes:
        counts: int64 ``[C + 1, C + 1]``, rows actual, columns predicted. Each object and each detection is counted
            once; the last row holds detections without an object of their own, the last column objects without a
            detection.
        lone_detections: the last row, by kind of error.
        lone_objects: the last column: ``localisation`` where a detection of the class fits badly, else ``missed``.
    """

    counts: Ints
    lone_detections: dict[str, int]
    lone_objects: dict[str, int]


def confusion(images: Sequence[ImageComparison], class_count: int, score_threshold: float) -> Confusion:
    """Pair each object with one detection, at most.

    An object that is found pairs with what found it: the diagonal counts the true positives. Another one pairs with
    a detection of another class that lies on it (:attr:`.Kind.CLASSIFICATION`), of several with that which overlaps
    it most.
    """
    counts = np.zeros((class_count + 1, class_count + 1), np.int64)
    detections: Counter[str] = Counter()
    objects: Counter[str] = Counter()
    for image in images:
        taken = _taken(image, score_threshold)
        paired = taken >= 0
        np.add.at(counts, (image.labels[paired], image.found.labels[taken[paired]]), 1)
        loose = image.found.scores >= score_threshold
        loose[taken[paired]] = False
        np.add.at(counts[class_count], image.found.labels[loose], 1)
        np.add.at(counts[:, class_count], image.labels[~paired], 1)
        detections.update(KINDS[kind].value for kind in image.kinds[loose])
        absent = missed(image, score_threshold)[~paired]
        objects.update(np.where(absent, MISSED, Kind.LOCALISATION.value).tolist())
    return Confusion(counts, dict(detections), dict(objects))


def _taken(image: ImageComparison, score_threshold: float) -> Ints:
    """The detection that each object pairs with, int64 ``[M]``, -1 for none."""
    taken = np.full(len(image.labels), -1, np.int64)
    right = np.flatnonzero(image.correct(score_threshold))
    wrong = np.flatnonzero((image.found.scores >= score_threshold) & (image.kinds == KINDS.index(Kind.CLASSIFICATION)))
    wrong = wrong[np.argsort(-image.ious[wrong], kind="stable")]
    for i in np.concatenate([right, wrong]).tolist():
        if taken[image.partners[i]] < 0:
            taken[image.partners[i]] = i
    return taken
