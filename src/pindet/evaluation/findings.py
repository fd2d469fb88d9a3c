"""Everything that the report and the files say about one model, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pindet_serve.detections import Detections

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.answers import answers_of
from pindet.evaluation.bootstrap import ALL, LEAST_IMAGES, Draws, Estimate, map_of_draws
from pindet.evaluation.calibration import Bin, reliability
from pindet.evaluation.comparison import ImageComparison, compare
from pindet.evaluation.confusion import Confusion, confusion
from pindet.evaluation.curves import Counts, Scored, best_threshold, counts_at, scored
from pindet.evaluation.errors import ErrorRow, error_rows
from pindet.evaluation.metrics import SIZES, coco_metrics
from pindet.evaluation.settings import EvaluationSettings
from pindet.evaluation.suspects import Suspect, find_suspects

CONFIDENCE, SEED = 0.95, 0
"""Of the intervals: how often they are to hold the value, and of the draws that they come from."""
SIZE_LIMITS = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 10**10)}
"""Least area, and the area below which a size ends, in square pixels."""


@dataclass(frozen=True)
class SplitFindings:
    """What was found on one split; ``per_class`` and ``counts_per_class`` are in the order of ``classes``."""

    split: str
    classes: list[str]
    image_names: list[str]
    images: list[ImageComparison]
    coco: dict[str, float]
    every: Scored
    per_class: list[Scored]
    counts: Counts
    counts_per_class: list[Counts]

    @property
    def empty_images(self) -> int:
        return sum(len(image.labels) == 0 for image in self.images)

    @property
    def carriers(self) -> dict[str, int]:
        """How many images show an object of each class, and, for :data:`.bootstrap.ALL`, of any."""
        shown = [set(image.labels.tolist()) for image in self.images]
        by_class = {name: sum(label in labels for labels in shown) for label, name in enumerate(self.classes)}
        return {ALL: sum(map(bool, shown)), **by_class}


@dataclass(frozen=True)
class SizeRow:
    """Objects of one COCO size, and how many of them were found at the operating point."""

    size: str
    objects: int
    found: int


@dataclass(frozen=True)
class Findings:
    """The test split at the operating point that the validation split chose.

    Attributes:
        settings: that were in force.
        score_threshold: the operating point.
        is_fallback: no threshold was best, so the settings' fallback is the operating point.
        class_thresholds: the best threshold of each class by itself, for comparison; ``None`` where none is best.
        val, test: the two splits.
        confusion: which class is taken for which.
        bins: reliability of the scores.
        errors: one row for each kind of error.
        sizes: one row for each size of object.
        suspects: labels of both splits that the model contradicts, the surest first.
        intervals: of ``map`` by class, and for :data:`.bootstrap.ALL`; left out where fewer than two images show an
            object, and where all draws give the same.
    """

    settings: EvaluationSettings
    score_threshold: float
    is_fallback: bool
    class_thresholds: list[float | None]
    val: SplitFindings
    test: SplitFindings
    confusion: Confusion
    bins: list[Bin]
    errors: list[ErrorRow]
    sizes: list[SizeRow]
    suspects: list[Suspect]
    intervals: dict[str, Estimate]

    def split(self, name: str) -> SplitFindings:
        """``val`` or ``test``."""
        return {"val": self.val, "test": self.test}[name]


def find(
    val: tuple[PreparedSplit, Sequence[Detections]],
    test: tuple[PreparedSplit, Sequence[Detections]],
    settings: EvaluationSettings,
) -> Findings:
    """Choose the operating point on ``val`` and measure on ``test``; each is a split and its detections."""
    val_images = compare(*val, settings.iou_threshold)
    best = best_threshold(scored(val_images, len(val[0].classes))[0])
    threshold = settings.fallback_score_threshold if best is None else best
    on_val, on_test = (
        _split(split, detections, images, threshold, settings)
        for (split, detections), images in (
            (val, val_images),
            (test, compare(*test, settings.iou_threshold)),
        )
    )
    class_count = len(on_test.classes)
    return Findings(
        settings=settings,
        score_threshold=threshold,
        is_fallback=best is None,
        class_thresholds=[best_threshold(found) for found in on_val.per_class],
        val=on_val,
        test=on_test,
        confusion=confusion(on_test.images, class_count, threshold),
        bins=reliability(on_test.every, settings.calibration_bins),
        errors=error_rows(on_test.images, class_count, threshold),
        sizes=_sizes(on_test.images, threshold),
        intervals=_intervals(on_test, threshold, settings),
        suspects=find_suspects([("val", val_images), ("test", on_test.images)], class_count, threshold),
    )


def _intervals(test: SplitFindings, threshold: float, settings: EvaluationSettings) -> dict[str, Estimate]:
    if not test.images or not settings.resamples:
        return {}
    answers = answers_of(
        test.images, test.classes, score_threshold=threshold, iou_threshold=settings.iou_threshold
    )
    draws = Draws(settings.resamples, CONFIDENCE, SEED)
    estimates = {
        key: draws.estimate(values) for key, values in map_of_draws(answers, draws.counts(len(answers.names))).items()
    }
    carriers = test.carriers
    return {key: each for key, each in estimates.items() if carriers[key] >= LEAST_IMAGES and each.has_width}


def _split(
    split: PreparedSplit,
    detections: Sequence[Detections],
    images: list[ImageComparison],
    threshold: float,
    settings: EvaluationSettings,
) -> SplitFindings:
    every, per_class = scored(images, len(split.classes))
    return SplitFindings(
        split=split.split,
        classes=split.classes,
        image_names=split.names,
        images=images,
        coco=coco_metrics(split, detections, max_detections=settings.max_detections),
        every=every,
        per_class=per_class,
        counts=counts_at(every, threshold),
        counts_per_class=[counts_at(found, threshold) for found in per_class],
    )


def _sizes(images: Sequence[ImageComparison], threshold: float) -> list[SizeRow]:
    boxes = np.concatenate([np.zeros((0, 4)), *(image.boxes.astype(np.float64) for image in images)])
    found = np.concatenate([np.zeros(0, np.bool_), *(image.objects_found(threshold) for image in images)])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    rows = []
    for size in SIZES:
        low, high = SIZE_LIMITS[size]
        chosen = (areas >= low) & (areas < high)
        rows.append(SizeRow(size, int(chosen.sum()), int(found[chosen].sum())))
    return rows
