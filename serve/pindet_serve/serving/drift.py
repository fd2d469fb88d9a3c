"""How far what a model sees and answers has moved away from the data that it was tested on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pindet_serve.profile import (
    BRIGHTNESS_EDGES,
    COUNT_EDGES,
    SCORE_EDGES,
    SIZE_EDGES,
    Measures,
    Profile,
    histogram,
)

HALF_WINDOW = 1000
LEAST = 50
"""Fewer values than that say nothing; neither side is compared then."""
_Counts = NDArray[np.int64]


class _Window:
    """Histograms of some images: of brightness ``[bins]``, and of the rest ``[classes, bins]``."""

    def __init__(self, classes: int) -> None:
        self.images = 0
        self.brightness = np.zeros(len(BRIGHTNESS_EDGES) - 1, np.int64)
        self.scores = np.zeros((classes, len(SCORE_EDGES) - 1), np.int64)
        self.sizes = np.zeros((classes, len(SIZE_EDGES) - 1), np.int64)
        self.counts = np.zeros((classes, len(COUNT_EDGES) - 1), np.int64)

    def add(self, measured: Measures) -> None:
        self.images += 1
        self.brightness += histogram([measured.brightness], BRIGHTNESS_EDGES)
        objects = np.zeros(len(self.counts), np.int64)
        for label, scores in measured.scores.items():
            objects[label] = len(scores)
            self.scores[label] += histogram(scores, SCORE_EDGES)
            self.sizes[label] += histogram(measured.sizes[label], SIZE_EDGES)
        bins = np.searchsorted(COUNT_EDGES, objects, side="right") - 1
        self.counts[np.arange(len(objects)), bins] += 1

    def plus(self, other: _Window) -> Iterator[tuple[str, int | None, _Counts]]:
        """Each quantity, class and histogram of this window and another."""
        yield "brightness", None, self.brightness + other.brightness
        for quantity in ("scores", "sizes", "counts"):
            for label, counts in enumerate(getattr(self, quantity) + getattr(other, quantity)):
                yield quantity, label, counts


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
            for quantity, label, counts in self._new.plus(self._old):
                name = "" if label is None else self._classes[label]
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
