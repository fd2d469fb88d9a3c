"""One model measured on every draw of the test images: average precision, and F1 at its operating point."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pindet.evaluation.answers import Answers
from pindet.evaluation.bootstrap import Draws, map_of_draws
from pindet.promotion.comparison.operating import f1_scores
from pindet.promotion.errors import PromotionError
from pindet.promotion.progress import each

_SILENT_SECONDS = 2.0


@dataclass(frozen=True)
class Resampled:
    """A measure of one model on all images and on each resample, float64 ``[1 + B]``; ``map`` by class and for all."""

    map: dict[str, NDArray[np.float64]]
    f1: NDArray[np.float64]


def resample(answers: Answers, draws: Draws, what: str = "comparing") -> Resampled:
    """Measure a model on every draw.

    Args:
        what: names it for those who wait.

    Raises:
        PromotionError: there are no test images.
    """
    try:
        counts = draws.counts(len(answers.names))
    except ValueError as error:
        raise PromotionError(str(error)) from error
    shown = partial(each, what=what, silent_s=_SILENT_SECONDS)
    return Resampled(map_of_draws(answers, counts, shown), f1_scores(answers, counts))
