"""The features that the models of torchvision read: this project's backbone under torchvision's feature pyramid."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from pindet.models.backbone import Backbone


class Pyramid(nn.Module):
    """Features of several resolutions and one width (Lin et al., CVPR 2017, arXiv:1612.03144).

    Args:
        backbone: gives strides 8, 16 and 32.
        channels: of every level.
        extra: adds coarser levels.

    Attributes:
        out_channels: ``channels``, under the name that torchvision looks for.
    """

    def __init__(self, backbone: Backbone, channels: int, extra: ExtraFPNBlock) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = FeaturePyramidNetwork(backbone.channels, channels, extra)
        self.out_channels = channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Images uint8 ``[N, 3, H, W]`` to levels float32 ``[N, channels, H_i, W_i]``, finest first."""
        features = self.backbone(images)
        levels = self.neck(OrderedDict((str(i), feature) for i, feature in enumerate(features)))
        return OrderedDict((name, level.float()) for name, level in levels.items())

    @torch.no_grad()
    def anchors(self, generator: AnchorGenerator, image_height: int, image_width: int) -> tuple[list[int], Tensor]:
        """The anchors of an image: how many places each level has, and boxes float32 ``[A, 4]`` xyxy in pixels."""
        image = torch.zeros(1, 3, image_height, image_width, dtype=torch.uint8)
        levels = list(self(image).values())
        (anchors,) = generator(ImageList(image, [(image_height, image_width)]), levels)
        return [level.shape[2] * level.shape[3] for level in levels], anchors
