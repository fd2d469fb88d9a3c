"""The default detector: a timm backbone, a two-way neck and an anchor-free, task-aligned head.

``pindet_n`` and ``pindet_s`` (``conf/model/``) differ in width, input size and how much of the backbone they keep.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pindet.models.assigner import assign
from pindet.models.backbone import STRIDES, Backbone
from pindet.models.contract import DetectionModel, Target
from pindet.models.head import Head, Points
from pindet.models.losses import detection_losses
from pindet.models.neck import Neck


class Pindet(DetectionModel):
    """One-stage detector (TOOD's assignment, Generalized Focal Loss's distances; see the parts for the papers).

    Args:
        image_height, image_width: pixels, multiples of 32.
        num_classes: at least 1.
        backbone: a timm network with features at strides 8, 16 and 32.
        backbone_weights: ``packaged``, ``hub``, ``none`` or a checkpoint file.
        backbone_blocks: how many blocks of each stage of the backbone are kept; all without it.
        neck_channels: width of neck and head, even.
        neck_blocks: residual blocks after each fusion of the neck.
        head_blocks: convolution blocks of each branch of the head.
        distance_bins: of each box side; the farthest side is ``distance_bins - 1`` cells away.

    Raises:
        ValueError: a value outside what is allowed.
    """

    def __init__(
        self,
        image_height: int,
        image_width: int,
        num_classes: int,
        backbone: str,
        backbone_weights: str,
        neck_channels: int,
        neck_blocks: int,
        head_blocks: int,
        distance_bins: int,
        backbone_blocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__(image_height, image_width, num_classes)
        for name, value in (("image_height", image_height), ("image_width", image_width)):
            if value % STRIDES[-1]:
                raise ValueError(f"{name} is {value}; a multiple of {STRIDES[-1]} is needed")
        if neck_channels < 2 or neck_channels % 2:
            raise ValueError(f"neck_channels is {neck_channels}; an even number from 2 is needed")
        if min(neck_blocks, head_blocks) < 0 or distance_bins < 2:
            raise ValueError(
                f"neck_blocks is {neck_blocks}, head_blocks {head_blocks}, distance_bins {distance_bins}; "
                "at least 0, 0 and 2 are needed"
            )
        self.backbone = Backbone(backbone, backbone_weights, backbone_blocks)
        self.neck = Neck(self.backbone.channels, neck_channels, neck_blocks)
        self.head = Head(neck_channels, len(STRIDES), num_classes, distance_bins, head_blocks)
        self.points = Points(image_height, image_width, STRIDES, distance_bins)

    def loss(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Losses ``class``, ``box`` and ``distance``; see :class:`DetectionModel`."""
        classes, distances = self._logits(images)
        boxes = self.points.boxes(distances)
        scores = classes.detach().sigmoid()
        assignment = assign(self.points.centres, STRIDES[0], boxes.detach(), scores, targets)
        return detection_losses(classes, distances, boxes, self.points, assignment)

    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """One box per anchor point and the score of every class; see :class:`DetectionModel`."""
        classes, distances = self._logits(images)
        return self.points.boxes(distances), classes.sigmoid()

    def initialise(self, seed: int) -> None:
        """Starting values; see :class:`DetectionModel`."""
        super().initialise(seed)
        self.head.initialise()

    def load_pretrained(self) -> None:
        """Load the backbone's starting weights; see :class:`Backbone`."""
        self.backbone.load_pretrained()

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first stages of the backbone; see :class:`Backbone`."""
        self.backbone.freeze(stages)

    def _logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        classes, distances = self.head(self.neck(self.backbone(images)))
        return classes, distances
