"""The convolution block that neck and head are made of."""

from __future__ import annotations

from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution that keeps the resolution (or divides it by ``stride``), BatchNorm and SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.03, eps=1e-3),
            nn.SiLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3 x 3 blocks with half the channels between them, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(channels, channels // 2, 3), ConvNormAct(channels // 2, channels, 3))

    def forward(self, features: Tensor) -> Tensor:
        """Features ``[N, C, H, W]`` to features of the same shape."""
        refined: Tensor = features + self.body(features)
        return refined
