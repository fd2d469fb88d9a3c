"""From every candidate box to the answer for an image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from pindet.models.contract import DetectionModel

Selection = tuple[Tensor, Tensor, Tensor]
"""Boxes ``[K, 4]``, scores ``[K]`` and labels int64 ``[K]`` of one image, best score first."""


@dataclass(frozen=True, kw_only=True)
class Postprocess:
    """How candidates become detections.

    Args:
        nms_iou_threshold: of two boxes of one class that overlap more, the lower score goes; above 0, at most 1,
            which suppresses nothing.
        max_detections: in the answer for an image.
        max_candidates: pairs of box and class that are looked at.
        score_floor: only scores above it are looked at, 0 to 1.

    Raises:
        ValueError: a value outside what is allowed.
    """

    nms_iou_threshold: float
    max_detections: int
    max_candidates: int = 1000
    score_floor: float = 0.0001

    def __post_init__(self) -> None:
        if not 0 < self.nms_iou_threshold <= 1:
            raise ValueError(f"nms_iou_threshold is {self.nms_iou_threshold}; above 0 and at most 1 is allowed")
        if not 0 <= self.score_floor < 1:
            raise ValueError(f"score_floor is {self.score_floor}; at least 0 and below 1 is allowed")
        for name in ("max_detections", "max_candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is allowed")

    @property
    def suppresses(self) -> bool:
        """Whether any candidate can go because of another."""
        return self.nms_iou_threshold < 1

    def of(self, model: DetectionModel) -> Postprocess:
        """The same, but without suppression for a model that is end to end."""
        return replace(self, nms_iou_threshold=1.0) if model.end_to_end else self


def select(boxes: Tensor, scores: Tensor, postprocess: Postprocess) -> list[Selection]:
    """Best candidates, non-maximum suppression within each class, best detections.

    Of equal scores the earlier candidate goes first.

    Args:
        boxes: float32 ``[N, A, 4]`` xyxy.
        scores: float32 ``[N, A, C]``.
    """
    return [_select_one(*pair, postprocess) for pair in zip(boxes, scores, strict=True)]


def _select_one(boxes: Tensor, scores: Tensor, postprocess: Postprocess) -> Selection:
    flat = scores.flatten()
    places = _best(flat, min(postprocess.max_candidates, flat.numel()))
    places = places[flat[places] > postprocess.score_floor]
    top = flat[places]
    labels = places % scores.shape[1]
    kept_boxes = boxes[torch.div(places, scores.shape[1], rounding_mode="floor")]
    if postprocess.suppresses:
        # The candidates are in order of their scores: sorting their positions sorts the scores, ties included.
        kept = batched_nms(kept_boxes, top, labels, postprocess.nms_iou_threshold).sort().values
        kept_boxes, top, labels = kept_boxes[kept], top[kept], labels[kept]
    limit = postprocess.max_detections
    return kept_boxes[:limit], top[:limit], labels[:limit]


def _best(scores: Tensor, count: int) -> Tensor:
    """Positions of the ``count`` highest of scores ``[M]``, best first; topk alone takes any of equal ones."""
    least = scores.topk(count).values[-1]
    places = (scores >= least).nonzero().flatten()
    return places[scores[places].sort(descending=True, stable=True).indices[:count]]
