"""The settings of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass

BACKGROUND_IOU = 0.1
"""A detection that overlaps every object less than this lies on background (TIDE's value)."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a model's answers are made and judged.

    Attributes:
        batch_size: images a call of the model.
        nms_iou_threshold: of two boxes of one class that overlap more, the one with the lower score is dropped.
        max_detections: how many of an image's best detections are kept and judged.
        iou_threshold: how much a detection and an object must overlap (intersection over union) to be a match, for
            everything at the operating point; average precision has the COCO thresholds instead.
        fallback_score_threshold: the operating point where validation images tell none.
        calibration_bins: bins of equal width from score 0 to 1.
        gallery_images: how many of the worst images, and of the doubtful labels, the report shows.
        resamples: draws of the test images from which the intervals of the average precision come; 0: none.

    Raises:
        ValueError: a value outside what is allowed.
    """

    batch_size: int
    nms_iou_threshold: float
    max_detections: int
    iou_threshold: float
    fallback_score_threshold: float
    calibration_bins: int
    gallery_images: int
    resamples: int

    def __post_init__(self) -> None:
        counts = {"batch_size": 1, "max_detections": 1, "calibration_bins": 2, "gallery_images": 0, "resamples": 0}
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise ValueError(f"evaluation.{name} is {getattr(self, name)}; at least {least} is allowed; raise it")
        for name in ("nms_iou_threshold", "iou_threshold", "fallback_score_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"evaluation.{name} is {getattr(self, name)}; more than 0 and less than 1 is allowed; change it"
                )
        if self.iou_threshold <= BACKGROUND_IOU:
            raise ValueError(
                f"evaluation.iou_threshold is {self.iou_threshold}; it must exceed {BACKGROUND_IOU}, below which a "
                "detection counts as background; raise it"
            )
