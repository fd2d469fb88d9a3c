"""Which anchor points answer for which labelled box: task-aligned assignment.

Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, arXiv:2108.07755. A point is a candidate for a
box that contains it; its alignment is ``score ** alpha * iou ** beta``; the best few candidates of a box answer for it;
a point wanted by several boxes takes the one that it overlaps most. Pairs of point and box are kept as a list and not
as a matrix, because a box contains few points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from pindet.models.contract import Target

TOP = 10
ALPHA = 0.5
BETA = 6.0
SMALLEST = 1.5
"""A box counts as at least this many of the finest cells wide and high, so that every box contains a point."""


@dataclass(frozen=True)
class Assignment:
    """The points of a batch that answer for a box, ``P`` in all.

    Attributes:
        images, points: int64 ``[P]``, where each point is.
        boxes: float32 ``[P, 4]``, the box it answers for, xyxy in pixels.
        labels: int64 ``[P]``, that box's class.
        quality: float32 ``[P]``, 0–1, the score it should give: its alignment, scaled so that a box's best point
            gets the best overlap among the box's points.
    """

    images: Tensor
    points: Tensor
    boxes: Tensor
    labels: Tensor
    quality: Tensor


@torch.no_grad()
def assign(centres: Tensor, spacing: float, boxes: Tensor, scores: Tensor, targets: Sequence[Target]) -> Assignment:
    """Assign the points of a batch.

    Args:
        centres: float32 ``[A, 2]``, the points, in pixels.
        spacing: pixels per cell of the finest level.
        boxes: float32 ``[N, A, 4]``, what the model predicts, xyxy in pixels.
        scores: float32 ``[N, A, C]``, 0–1.
        targets: one per image.
    """
    wanted = torch.cat([target.boxes for target in targets])
    labels = torch.cat([target.labels for target in targets])
    counts = torch.tensor([len(target.labels) for target in targets], device=wanted.device)
    image_of = torch.repeat_interleave(torch.arange(len(targets), device=wanted.device), counts)
    row, point = _contained(centres, wanted, spacing * SMALLEST)
    image = image_of[row]
    overlap = 1 - complete_box_iou_loss(boxes[image, point], wanted[row])
    overlap = overlap.clamp(min=0)
    alignment = scores[image, point, labels[row]].pow(ALPHA) * overlap.pow(BETA)
    best = _best_of_each(row, alignment, len(wanted))
    row, point, image, overlap, alignment = (values[best] for values in (row, point, image, overlap, alignment))
    single = _one_box_per_point(image * len(centres) + point, row, overlap, len(targets) * len(centres))
    row, point, image, overlap, alignment = (values[single] for values in (row, point, image, overlap, alignment))
    zeros = torch.zeros(len(wanted), device=wanted.device)
    most_aligned = zeros.scatter_reduce(0, row, alignment, "amax")
    most_overlap = zeros.scatter_reduce(0, row, overlap, "amax")
    quality = alignment / most_aligned[row].clamp(min=1e-12) * most_overlap[row]
    return Assignment(image, point, wanted[row], labels[row], quality)


def _contained(centres: Tensor, boxes: Tensor, smallest: float) -> tuple[Tensor, Tensor]:
    """Pairs of row in ``boxes`` and point inside that box."""
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    half = ((boxes[:, None, 2:] - boxes[:, None, :2]) / 2).clamp(min=smallest / 2)
    inside = ((centres[None] - middle).abs() < half).all(-1)
    row, point = inside.nonzero(as_tuple=True)
    return row, point


def _best_of_each(row: Tensor, alignment: Tensor, rows: int) -> Tensor:
    """Positions of the :data:`TOP` best aligned pairs of each row."""
    order = torch.sort(alignment, descending=True, stable=True).indices
    order = order[torch.sort(row[order], stable=True).indices]
    starts = torch.searchsorted(row[order], torch.arange(rows, device=row.device))
    rank = torch.arange(len(order), device=row.device) - starts[row[order]]
    return order[rank < TOP]


def _one_box_per_point(place: Tensor, row: Tensor, overlap: Tensor, places: int) -> Tensor:
    """Positions of the pairs that keep their point: the most overlapping, the first row among equals."""
    most = torch.zeros(places, device=overlap.device).scatter_reduce(0, place, overlap, "amax")
    best = overlap == most[place]
    last = torch.iinfo(row.dtype).max
    first = torch.full((places,), last, device=row.device).scatter_reduce(
        0, place[best], row[best], "amin", include_self=True
    )
    return (best & (row == first[place])).nonzero(as_tuple=True)[0]
