"""Non-maximum suppression of a whole batch at once, without a shape that depends on the data.

What greedy suppression keeps is the fixed point of one rule: a box stays unless a better box that stays overlaps it too
much. Applying the rule again and again, from "all stay", settles the best box first, then what hangs on it, and so on
(Zheng et al., "Enhancing Geometric Factors in Model Learning and Inference", 2021, arXiv:2005.03572). Each application
is a product of matrices, so it exports as a plain graph whose batch size is free.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

ROUNDS = 16
"""Longest chain, each box suppressed or spared by the one before it, that :func:`kept_after` follows to its end."""


def rivals(boxes: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Which box may suppress which.

    Args:
        boxes: float32 ``[N, M, 4]`` xyxy, the best of each group first.
        groups: ``[M]`` or ``[N, M]``; boxes of different groups leave each other alone.

    Returns:
        float32 ``[N, M, M]``, 1 where the box of the row is better than that of the column and overlaps it by more.
    """
    overlaps: Tensor = box_iou(boxes, boxes) > iou_threshold
    places = torch.arange(boxes.shape[1], device=boxes.device)
    better = (places[:, None] < places) & (groups[..., :, None] == groups[..., None, :])
    return (overlaps & better).to(boxes.dtype)


def step(kept: Tensor, over: Tensor) -> Tensor:
    """Apply the rule once.

    Args:
        kept: float32 ``[N, M]``, 1 where a box stays so far.
        over: what :func:`rivals` gave.

    Returns:
        ``[N, M]``, 1 where a box has no better one among those that stay so far.
    """
    return (torch.matmul(kept[:, None], over)[:, 0] == 0).to(kept.dtype)


def kept_after(boxes: Tensor, groups: Tensor, iou_threshold: float, rounds: int = ROUNDS) -> Tensor:
    """Which boxes suppression keeps, after a fixed number of rounds.

    Args:
        boxes, groups: as for :func:`rivals`.
        iou_threshold: of two boxes of a group that overlap by more, the later one goes.

    Returns:
        float32 ``[N, M]``, 1 or 0; equal to greedy suppression where no chain is longer than ``rounds``.
    """
    over = rivals(boxes, groups, iou_threshold)
    kept = torch.ones_like(boxes[..., 0])
    for _ in range(rounds):
        kept = step(kept, over)
    return kept
