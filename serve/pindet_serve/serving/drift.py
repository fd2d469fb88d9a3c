"""How far what a model sees and answers has moved away from the data that it was tested on."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pindet_serve.profile import (
    BRIGHTNESS_EDGES,
    COUNT_EDGES,
    SCORE_EDGES,
    SIZE_EDGES,
    Measures,
    Profile,
)

HALF_WINDOW = 1000
LEAST = 50
"""Fewer values than that say nothing; neither side is compared then."""
_Counts = NDArray[np.int64]


class _Histogram:
    """Counts of values in bins; those outside go into the outermost.

    In plain Python: of the few values of an image, NumPy costs ten times as much.
    """

    def __init__(self, edges: NDArray[Any]) -> None:
        self._edges: list[float] = edges.tolist()
        self.counts = [0] * (len(self._edges) - 1)

    def add(self, value: float) -> None:
        inside = bisect.bisect_right(self._edges, value) - 1
        self.counts[min(max(inside, 0), len(self.counts) - 1)] += 1


class _Window:
    """Histograms of some images: of their brightness, and the rest by class."""

    def __init__(self, classes: int) -> None:
        self.images = 0
        self.brightness = _Histogram(BRIGHTNESS_EDGES)
        self.scores = [_Histogram(SCORE_EDGES) for _ in range(classes)]
        self.sizes = [_Histogram(SIZE_EDGES) for _ in range(classes)]
        self._present = [_Histogram(COUNT_EDGES) for _ in range(classes)]

    def add(self, measured: Measures) -> None:
        self.images += 1
        self.brightness.add(measured.brightness)
        for label, scores in measured.scores.items():
            self._present[label].add(len(scores))
            for score, size in zip(scores, measured.sizes[label], strict=True):
                self.scores[label].add(score)
                self.sizes[label].add(size)

    def read(self) -> Iterator[tuple[str, int | None, _Counts]]:
        """Each quantity, class and histogram."""
        yield "brightness", None, np.array(self.brightness.counts)
        for quantity, histograms in (("scores", self.scores), ("sizes", self.sizes)):
            for label, histogram in enumerate(histograms):
                yield quantity, label, np.array(histogram.counts)
        for label, present in enumerate(self._present):
            counts = np.array(present.counts)
            counts[0] += self.images - counts.sum()  # an image without this class
            yield "counts", label, counts


class Drift:
    """Compares the latest one to two thousand images with a reference profile.

    The distance is that of Jensen and Shannon, base 2: 0 for the same distribution, 1 for distributions that share
    nothing. It is given once both sides have 50 values. Safe for threads.

    Args:
        reference: of the data that the model was tested on.
        classes: class names in order.
    """

    def __init__(self, reference: Profile, classes: list[str]) -> None:
        self._classes, self._reference = classes, reference
        self._lock = threading.Lock()
        self._old, self._new = _Window(len(classes)), _Window(len(classes))

    def add(self, measured: Measures) -> None:
        """Take one image into account."""
        with self._lock:
            if self._new.images >= HALF_WINDOW:
                self._old, self._new = self._new, _Window(len(self._classes))
            self._new.add(measured)

    @property
    def images(self) -> int:
        """How many images the distances are of."""
        with self._lock:
            return self._old.images + self._new.images

    def distances(self) -> list[tuple[str, str, float]]:
        """Each quantity (``brightness``, ``scores``, ``sizes``, ``counts``), class ("" for none) and distance, 0–1."""
        found = []
        with self._lock:
            for (quantity, label, new), (_, _, old) in zip(self._new.read(), self._old.read(), strict=True):
                counts, name = new + old, "" if label is None else self._classes[label]
                expected = self._expected(quantity, name)
                if min(counts.sum(), expected.sum()) >= LEAST:
                    found.append((quantity, name, jensen_shannon(counts, expected)))
        return found

    def _expected(self, quantity: str, name: str) -> _Counts:
        part = self._reference.classes[name] if name else self._reference
        return np.array(getattr(part, quantity), np.int64)


def jensen_shannon(one: _Counts, other: _Counts) -> float:
    """The Jensen–Shannon distance of two histograms over the same bins, neither empty: 0–1."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2
    divergence = sum(float((part[part > 0] * np.log2(part[part > 0] / middle[part > 0])).sum()) for part in (p, q)) / 2
    return float(np.sqrt(max(0.0, divergence)))
