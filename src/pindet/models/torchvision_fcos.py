"""torchvision's FCOS on this project's backbones.

Tian et al., "FCOS: A Simple and Strong Anchor-free Object Detector", 2020, arXiv:2006.09214.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.ops import clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from pindet.models.backbone import STRIDES, Backbone
from pindet.models.contract import DetectionModel, Target
from pindet.models.parallel import correction
from pindet.models.pyramid import Pyramid
from pindet.models.rebuilding import initialise_by_building

LEVELS = (*STRIDES, 64, 128)
GROUP = 32
"""Channels that torchvision's heads normalise together."""


class TorchvisionFcos(DetectionModel):
    """One box per point of a feature pyramid, ranked by class score and centredness.

    Args:
        image_height, image_width: pixels, multiples of 32.
        num_classes: at least 1.
        backbone: a timm network with features at strides 8, 16 and 32.
        backbone_weights: ``packaged``, ``hub``, ``none`` or a checkpoint file; only ``hub`` uses a network.
        pyramid_channels: width of pyramid and head, a multiple of 32 from 64.
        head_blocks: convolutions of each branch of the head before its last, at least 1.

    Raises:
        ValueError: a value outside what is allowed.
    """

    anchors: Tensor

    def __init__(
        self,
        image_height: int,
        image_width: int,
        num_classes: int,
        backbone: str,
        backbone_weights: str,
        pyramid_channels: int,
        head_blocks: int,
    ) -> None:
        super().__init__(image_height, image_width, num_classes)
        for name, value in (("image_height", image_height), ("image_width", image_width)):
            if value % STRIDES[-1]:
                raise ValueError(f"{name} is {value}; a multiple of {STRIDES[-1]} is needed")
        if pyramid_channels < 2 * GROUP or pyramid_channels % GROUP:
            raise ValueError(f"pyramid_channels is {pyramid_channels}; a multiple of {GROUP} from 64 is needed")
        if head_blocks < 1:
            raise ValueError(f"head_blocks is {head_blocks}; at least 1 is needed")
        self._backbone = (backbone, backbone_weights)
        self._head = (pyramid_channels, head_blocks)
        self.network = self._build()
        pyramid, generator = self.network.backbone, self.network.anchor_generator
        self._counts, anchors = pyramid.anchors(generator, image_height, image_width)
        self.register_buffer("anchors", anchors, persistent=False)

    def loss(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Losses ``class``, ``box`` and ``centredness``; see :class:`DetectionModel`."""
        wanted = [{"boxes": target.boxes, "labels": target.labels} for target in targets]
        outputs = {name: value.float() for name, value in self._outputs(images).items()}
        found = self.network.compute_loss(wanted, outputs, [self.anchors] * len(targets), self._counts)
        return {"class": found["classification"], "box": found["bbox_regression"], "centredness": found["bbox_ctrness"]}

    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """One box per point and the score of every class; see :class:`DetectionModel`."""
        outputs = self._outputs(images)
        boxes = self.network.box_coder.decode(outputs["bbox_regression"].float(), self.anchors)
        scores = outputs["cls_logits"].float().sigmoid() * outputs["bbox_ctrness"].float().sigmoid()
        return clip_boxes_to_image(boxes, (self.image_height, self.image_width)), scores.sqrt()

    def initialise(self, seed: int) -> None:
        """Starting values; see :class:`DetectionModel`."""
        initialise_by_building(self.network, self._build, seed)
        self.load_pretrained()

    def load_pretrained(self) -> None:
        """Load the backbone's starting weights; see :class:`Backbone`."""
        self.network.backbone.backbone.load_pretrained()

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first stages of the backbone; see :class:`Backbone`."""
        self.network.backbone.backbone.freeze(stages)

    def _build(self) -> FCOS:
        channels, blocks = self._head
        pyramid = Pyramid(Backbone(*self._backbone), channels, LastLevelP6P7(channels, channels))
        generator = AnchorGenerator(tuple((stride,) for stride in LEVELS), ((1.0,),) * len(LEVELS))
        return FCOS(
            pyramid,
            self.num_classes,
            anchor_generator=generator,
            head=_Head(channels, 1, self.num_classes, blocks),
        )

    def _outputs(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.network.head(list(self.network.backbone(images).values()))
        return outputs


class _Head(FCOSHead):  # type: ignore[misc]  # torchvision ships no types
    """Whose losses count the points of the whole batch, where several processes share it."""

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        factor = correction((torch.stack(matched_idxs) >= 0).sum().float())
        return {name: loss * factor for name, loss in losses.items()}
