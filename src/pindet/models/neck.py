"""Features of several resolutions, mixed top-down and bottom-up.

The two paths are those of PANet (Liu et al., "Path Aggregation Network for Instance Segmentation", CVPR 2018,
arXiv:1803.01534) over those of FPN (Lin et al., CVPR 2017, arXiv:1612.03144).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pindet.models.layers import ConvNormAct, Residual


class Neck(nn.Module):
    """Brings every level to ``channels`` channels and lets each see the others.

    Args:
        inputs: channels of the backbone's levels, finest first.
        channels: of every level that comes out; even.
        blocks: residual blocks after each fusion.
    """

    def __init__(self, inputs: Sequence[int], channels: int, blocks: int) -> None:
        super().__init__()
        steps = range(len(inputs) - 1)
        self.lateral = nn.ModuleList(ConvNormAct(width, channels, 1) for width in inputs)
        self.down = nn.ModuleList(ConvNormAct(channels, channels, 3, stride=2, groups=channels) for _ in steps)
        self.top_down = nn.ModuleList(_fusion(channels, blocks) for _ in steps)
        self.bottom_up = nn.ModuleList(_fusion(channels, blocks) for _ in steps)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels ``[N, C_i, H_i, W_i]``, finest first, to levels ``[N, channels, H_i, W_i]``."""
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for i in range(len(levels) - 2, -1, -1):
            coarse = functional.interpolate(levels[i + 1], scale_factor=2.0, mode="nearest")
            levels[i] = self.top_down[i](torch.cat([levels[i], coarse], 1))
        for i in range(len(levels) - 1):
            levels[i + 1] = self.bottom_up[i](torch.cat([levels[i + 1], self.down[i](levels[i])], 1))
        return levels


def _fusion(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(2 * channels, channels, 1), *(Residual(channels) for _ in range(blocks)))
