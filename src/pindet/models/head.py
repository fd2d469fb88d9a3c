"""From features to scores and distances at every anchor point, and from distances to boxes.

Anchor points lie at the centre of each cell of each level, as in FCOS (Tian et al., ICCV 2019, arXiv:1904.01355). The
distances to a box's four sides are distributions over bins, as in Generalized Focal Loss (Li et al., NeurIPS 2020,
arXiv:2006.04388).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pindet.models.layers import ConvNormAct

PRIOR = 0.001
"""The share of anchor points that a fresh head takes for an object, per class: keeps the first losses small."""


class Head(nn.Module):
    """Separate branches for classes and distances, one pair per level.

    Args:
        channels: of every level.
        levels: how many there are.
        num_classes: scores per anchor point.
        bins: of each distance.
        blocks: convolutions of each branch before its last.
    """

    def __init__(self, channels: int, levels: int, num_classes: int, bins: int, blocks: int) -> None:
        super().__init__()
        self._outputs = (num_classes, 4 * bins)
        self.classes = nn.ModuleList(_branch(channels, num_classes, blocks) for _ in range(levels))
        self.distances = nn.ModuleList(_branch(channels, 4 * bins, blocks) for _ in range(levels))

    def initialise(self) -> None:
        """Set the biases to what is known before training: objects are rare and about four cells wide."""
        for branch in self.classes:
            nn.init.constant_(branch[-1].bias, math.log(PRIOR / (1 - PRIOR)))  # type: ignore[index]
        for branch in self.distances:
            nn.init.zeros_(branch[-1].bias)  # type: ignore[index]

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of classes ``[N, A, C]`` and of distances ``[N, A, 4 * bins]``, float32, finest level first."""
        return _flat(self.classes, levels), _flat(self.distances, levels)


class Points(nn.Module):
    """The anchor points of a letterboxed image and the decoding of boxes at them.

    Attributes:
        centres: float32 ``[A, 2]``, x and y in pixels.
        strides: float32 ``[A, 1]``, pixels per cell.
    """

    centres: Tensor
    strides: Tensor
    bins: Tensor

    def __init__(self, image_height: int, image_width: int, strides: Sequence[int], bins: int) -> None:
        super().__init__()
        centres, spacing = [], []
        for stride in strides:
            y, x = torch.meshgrid(
                torch.arange(image_height // stride), torch.arange(image_width // stride), indexing="ij"
            )
            centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
            spacing.append(torch.full((x.numel(), 1), float(stride)))
        self.register_buffer("centres", torch.cat(centres), persistent=False)
        self.register_buffer("strides", torch.cat(spacing), persistent=False)
        self.register_buffer("bins", torch.arange(bins, dtype=torch.float32), persistent=False)

    def boxes(self, distances: Tensor) -> Tensor:
        """Expected boxes float32 ``[N, A, 4]`` xyxy in pixels of logits ``[N, A, 4 * bins]``."""
        logits = distances.reshape(*distances.shape[:-1], 4, self.bins.numel())
        cells = (logits.softmax(-1) * self.bins).sum(-1)
        near, far = (cells * self.strides).chunk(2, -1)
        return torch.cat([self.centres - near, self.centres + far], -1)


def _branch(channels: int, outputs: int, blocks: int) -> nn.Sequential:
    body = [
        nn.Sequential(ConvNormAct(channels, channels, 3, groups=channels), ConvNormAct(channels, channels, 1))
        for _ in range(blocks)
    ]
    return nn.Sequential(*body, nn.Conv2d(channels, outputs, 1))


def _flat(branches: nn.ModuleList, levels: Sequence[Tensor]) -> Tensor:
    maps = [branch(level).flatten(2).transpose(1, 2) for branch, level in zip(branches, levels, strict=True)]
    return torch.cat(maps, 1).float()
