"""The training losses of :class:`pindet.models.pindet.Pindet`.

Classes: binary cross entropy against the assignment's quality. Boxes: complete IoU (Zheng et al., AAAI 2020,
arXiv:1911.08287). Distances: distribution focal loss (Li et al., NeurIPS 2020, arXiv:2006.04388). Each is weighted by
quality and divided by the batch's sum of it (over all processes), so that a batch counts the same however many objects
it shows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import complete_box_iou_loss

from pindet.models.assigner import Assignment
from pindet.models.head import Points
from pindet.models.parallel import normaliser

CLASS_WEIGHT = 1.0
BOX_WEIGHT = 7.5
DISTANCE_WEIGHT = 1.5


def detection_losses(
    classes: Tensor, distances: Tensor, boxes: Tensor, points: Points, assignment: Assignment
) -> dict[str, Tensor]:
    """Weighted losses of a batch.

    Args:
        classes: logits ``[N, A, C]``.
        distances: logits ``[N, A, 4 * bins]``.
        boxes: what those distances decode to, ``[N, A, 4]`` xyxy in pixels.
        points: where the anchor points are.
        assignment: which of them answer for which object.

    Returns:
        scalars ``class``, ``box`` and ``distance``; the last two are 0 in a batch without objects.
    """
    where = (assignment.images, assignment.points)
    quality = assignment.quality
    total = normaliser(quality.sum())
    wanted = torch.zeros_like(classes)
    wanted[(*where, assignment.labels)] = quality
    class_loss = functional.binary_cross_entropy_with_logits(classes, wanted, reduction="sum") / total
    box_loss = (complete_box_iou_loss(boxes[where], assignment.boxes) * quality).sum() / total
    cells = _cells(points.centres[assignment.points], assignment.boxes) / points.strides[assignment.points]
    distance_loss = (distribution_focal_loss(distances[where], cells) * quality).sum() / total
    return {
        "class": CLASS_WEIGHT * class_loss,
        "box": BOX_WEIGHT * box_loss,
        "distance": DISTANCE_WEIGHT * distance_loss,
    }


def distribution_focal_loss(logits: Tensor, cells: Tensor) -> Tensor:
    """Cross entropy with the two bins around each true distance, by how near they are.

    Args:
        logits: ``[P, 4 * bins]``.
        cells: true distances ``[P, 4]`` in cells; beyond the last bin they count as the last.

    Returns:
        ``[P]``, the mean over the four sides.
    """
    bins = logits.shape[-1] // 4
    cells = cells.clamp(0, bins - 1 - 0.01)
    lower = cells.floor()
    share = cells - lower
    spread = logits.reshape(-1, 4, bins).log_softmax(-1)
    below = spread.gather(-1, lower.long()[..., None]).squeeze(-1)
    above = spread.gather(-1, lower.long()[..., None] + 1).squeeze(-1)
    return -((1 - share) * below + share * above).mean(-1)


def _cells(centres: Tensor, boxes: Tensor) -> Tensor:
    return torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], -1)
