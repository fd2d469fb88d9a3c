"""How far the average precision of a model depends on which images it was tested on.

The bootstrap over images (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13): the test images are
drawn anew, with repetition, and measured each time. Two models that are measured on the same draws can be compared
image by image, so that an image that is hard for both counts for neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pindet.evaluation.answers import Answers
from pindet.evaluation.average_precision import average_precisions
from pindet.evaluation.matching import match_class

ALL = ""
"""The key of what holds for all classes together."""
_PART = 100
"""Draws that are measured at a time."""
LEAST_IMAGES = 2
"""With objects, for an interval: draws of a single one are all the same."""
FEW_IMAGES = 20
"""With objects, below which an interval is a good deal too narrow."""


@dataclass(frozen=True)
class Estimate:
    """A measure on the test images and the interval that the bootstrap gives it; NaN is undefined."""

    value: float
    low: float
    high: float

    @property
    def is_defined(self) -> bool:
        """Whether there was anything to measure."""
        return not np.isnan(self.value)

    @property
    def has_width(self) -> bool:
        """Whether the draws differ; where they do not, they tell nothing about other images."""
        return self.low < self.high

    def shown(self, form: str = ".3f") -> str:
        """The value and, where there is one, its interval: ``0.512 [0.430, 0.590]``; a dash for nothing.

        Args:
            form: of a number, as for :func:`format`.
        """
        if not self.is_defined:
            return "–"
        value, low, high = (format(number, form) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]" if self.has_width else value


@dataclass(frozen=True)
class Draws:
    """How images are drawn: ``resamples`` times all of them, with repetition; ``confidence`` of intervals, 0 to 1."""

    resamples: int
    confidence: float
    seed: int

    def counts(self, images: int) -> NDArray[np.int64]:
        """How often each image counts, int64 ``[1 + B, N]``: first each once, then the resamples.

        Raises:
            ValueError: there are no images.
        """
        if not images:
            raise ValueError("there are no test images to draw from; raise data.test_fraction and run again")
        generator = np.random.default_rng(self.seed)
        rows = [np.ones(images, np.int64)]
        rows += [np.bincount(generator.integers(0, images, images), minlength=images) for _ in range(self.resamples)]
        return np.stack(rows)

    def estimate(self, values: NDArray[np.float64]) -> Estimate:
        """The measure on all images and its percentile interval, from float64 ``[1 + B]``."""
        drawn = values[1:][~np.isnan(values[1:])]
        if np.isnan(values[0]) or not len(drawn):
            return Estimate(float(values[0]), np.nan, np.nan)
        low, high = np.quantile(drawn, [(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        return Estimate(float(values[0]), float(low), float(high))


Steps = Sequence[tuple[int, int]]


def map_of_draws(
    answers: Answers, counts: NDArray[np.int64], shown: Callable[[Steps], Iterable[tuple[int, int]]] = iter
) -> dict[str, NDArray[np.float64]]:
    """Average precision over IoU 0.50:0.95, float64 ``[1 + B]``, by class and, their mean, for :data:`ALL`.

    Args:
        answers: of one model.
        counts: how often each image counts, int64 ``[1 + B, N]``.
        shown: yields the steps that it is given, and may tell how many are done: many images take minutes.
    """
    by_class = np.empty((len(answers.classes), len(counts)))
    for label, start in shown([(i, start) for i in range(len(by_class)) for start in range(0, len(counts), _PART)]):
        if start == 0:
            matches = match_class(answers, label)
        by_class[label, start : start + _PART] = average_precisions(matches, counts[start : start + _PART])
    defined = ~np.isnan(by_class)
    total = np.where(defined, by_class, 0.0).sum(axis=0)
    mean = np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)
    return {ALL: mean, **dict(zip(answers.classes, by_class, strict=True))}
