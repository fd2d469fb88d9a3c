"""Ask the model about every image of a split, a batch at a time, and say how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pindet_serve.detections import Detections
from pindet_serve.images import Image
from rich.console import Console
from rich.progress import Progress

from pindet.data.prepared import PreparedSplit

logger = logging.getLogger(__name__)

Predict = Callable[[Sequence[Image]], list[Detections]]
"""Images uint8 ``[H, W, 3]`` RGB, each of its own size, to the detections of each."""
_LOG_LINES = 10


def predict_split(
    predict: Predict, split: PreparedSplit, *, batch_size: int, max_detections: int
) -> list[Detections]:
    """Detections of every image, in the order of ``split``, each its best ``max_detections``, best first.

    Raises:
        ValueError: an answer that is none: one for too few or many images, a label without a class, a number that is
            not finite.
    """
    found: list[Detections] = []
    for start in _with_progress(range(0, len(split), batch_size), split):
        images = [split.image(i) for i in range(start, min(start + batch_size, len(split)))]
        answers = predict(images)
        if len(answers) != len(images):
            raise ValueError(f"{len(answers)} answers for {len(images)} images; allowed is one for each image")
        for answer in answers:
            _check(answer, split, split.names[len(found)])
            best = np.argsort(-answer.scores, kind="stable")[:max_detections]
            found.append(Detections(answer.boxes[best], answer.scores[best], answer.labels[best]))
    return found


def _check(answer: Detections, split: PreparedSplit, name: str) -> None:
    numbers = np.concatenate([answer.boxes.ravel(), answer.scores])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name}: a box or score that is not finite; the weights may have diverged: train again")
    if len(answer) and not 0 <= answer.labels.min() <= answer.labels.max() < len(split.classes):
        labels = sorted(set(answer.labels.tolist()))
        raise ValueError(
            f"{name}: labels {labels} for {len(split.classes)} classes; allowed are 0 to {len(split.classes) - 1}; "
            "the model belongs to other data: train again"
        )


def _with_progress(starts: range, split: PreparedSplit) -> Iterator[int]:
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console) as progress:
            yield from progress.track(starts, description=f"{split.split}: detecting")
        return
    for number, start in enumerate(starts):
        if number * _LOG_LINES // len(starts) != (number - 1) * _LOG_LINES // len(starts):
            logger.info("%s: detecting, image %d of %d", split.split, start + 1, len(split))
        yield start
