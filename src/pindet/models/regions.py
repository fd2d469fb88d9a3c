"""Regions that may hold an object, and their features, without a shape that depends on the data.

torchvision's own inference drops regions image by image; here every image keeps the same number, those in excess are
marked, so that the computation exports as a plain graph whose batch size is free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image, roi_align

from pindet.models.ranking import best_first
from pindet.models.suppression import kept_after

CANONICAL_SIDE = 224
"""A region of this many pixels each way is pooled from :data:`CANONICAL_STRIDE` (Feature Pyramid Networks, eq. 1)."""
CANONICAL_STRIDE = 16


def propose(
    rpn: RegionProposalNetwork,
    levels: Sequence[Tensor],
    anchors: Tensor,
    counts: Sequence[int],
    size: tuple[int, int],
    proposals: int,
) -> tuple[Tensor, Tensor]:
    """The best regions of each image, after suppression within each level.

    Args:
        levels: features ``[N, C, H_i, W_i]``, finest first.
        anchors: ``[A, 4]``, and ``counts``, how many of them each level has.
        size: height and width of the images.
        proposals: regions of an image, and of each level before suppression; fewer where there are fewer anchors.

    Returns:
        boxes float32 ``[N, P, 4]`` xyxy and ``[N, P]``, 1 for a region and 0 for a place that is left over.
    """
    objectness, deltas = concat_box_prediction_layers(*rpn.head(list(levels)))
    scores = objectness.float().reshape(-1, len(anchors))
    changes = deltas.float().reshape(-1, len(anchors), 4)
    best, places = _best_of_each_level(scores, counts, proposals)
    change = changes.gather(1, places[..., None].expand(-1, -1, 4))
    boxes = rpn.box_coder.decode_single(change.reshape(-1, 4), anchors[places.flatten()]).view_as(change)
    boxes = clip_boxes_to_image(boxes, size)
    levels_of = torch.cat([torch.full((min(proposals, count),), i) for i, count in enumerate(counts)]).to(boxes.device)
    kept = kept_after(boxes, levels_of, rpn.nms_thresh)
    regions = best.sigmoid() * kept
    first = best_first(regions, proposals)
    top = regions.gather(1, first)
    return boxes.gather(1, first[..., None].expand(-1, -1, 4)), (top > 0).to(top.dtype)


def _best_of_each_level(scores: Tensor, counts: Sequence[int], most: int) -> tuple[Tensor, Tensor]:
    """The ``most`` best scores of each level, best first, and where they are."""
    best, places, start = [], [], 0
    for count in counts:
        own = scores[:, start : start + count]
        where = best_first(own, min(most, count))
        best.append(own.gather(1, where))
        places.append(where + start)
        start += count
    return torch.cat(best, 1), torch.cat(places, 1)


def pool(levels: Sequence[Tensor], regions: Tensor, strides: Sequence[int], cells: int) -> Tensor:
    """Features of regions, each from the level that fits its size.

    Args:
        levels: ``[N, C, H_i, W_i]`` at ``strides``.
        regions: ``[N, P, 4]`` xyxy in pixels.
        cells: of the result, each way.

    Returns:
        ``[N * P, C, cells, cells]``.
    """
    images = torch.arange(regions.shape[0], device=regions.device, dtype=regions.dtype)
    rows = torch.cat([images[:, None, None].expand(-1, regions.shape[1], 1), regions], -1).flatten(0, 1)
    side = ((rows[:, 3] - rows[:, 1]) * (rows[:, 4] - rows[:, 2])).clamp(min=0).sqrt()
    exponent = math.log2(CANONICAL_STRIDE) + torch.log2(side / CANONICAL_SIDE) + 1e-6
    first, last = math.log2(strides[0]), math.log2(strides[-1])
    chosen = (exponent.floor().clamp(first, last) - first).to(torch.int64)
    pooled = [
        roi_align(level, rows, cells, 1 / stride, sampling_ratio=2)
        for level, stride in zip(levels, strides, strict=True)
    ]
    result: Tensor = pooled[0]
    for position, other in enumerate(pooled[1:], 1):
        result = torch.where((chosen == position)[:, None, None, None], other, result)
    return result
