"""torchvision's Faster R-CNN on this project's backbones, with an inference that exports as one plain graph.

Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", NeurIPS 2015,
arXiv:1506.01497, on a feature pyramid (Lin et al., CVPR 2017, arXiv:1612.03144). Boxes are refined once for all classes
and not once for each, so that a proposal stays one candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from pindet.models.backbone import STRIDES, Backbone
from pindet.models.contract import DetectionModel, Target
from pindet.models.pyramid import Pyramid
from pindet.models.rebuilding import initialise_by_building
from pindet.models.regions import pool, propose

RATIOS = (0.5, 1.0, 2.0)
POOLED = 7
"""Cells, each way, that a proposal is pooled into."""


class TorchvisionFasterRcnn(DetectionModel):
    """Two stages: regions that may hold an object, then what they hold.

    Args:
        image_height, image_width: pixels, multiples of 32.
        num_classes: at least 1.
        backbone: a timm network with features at strides 8, 16 and 32.
        backbone_weights: ``packaged``, ``hub``, ``none`` or a checkpoint file; only ``hub`` uses a network.
        pyramid_channels: width of the pyramid, at least 1.
        head_channels: width of the second stage, at least 1.
        anchor_sizes: sides in pixels of the anchors at strides 8, 16, 32 and 64, above 0.
        proposals: regions that the second stage looks at, at least 1.

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
        head_channels: int,
        anchor_sizes: list[int],
        proposals: int,
    ) -> None:
        super().__init__(image_height, image_width, num_classes)
        for name, value in (("image_height", image_height), ("image_width", image_width)):
            if value % STRIDES[-1]:
                raise ValueError(f"{name} is {value}; a multiple of {STRIDES[-1]} is needed")
        for name, value in (
            ("pyramid_channels", pyramid_channels),
            ("head_channels", head_channels),
            ("proposals", proposals),
        ):
            if value < 1:
                raise ValueError(f"{name} is {value}; at least 1 is needed")
        if len(anchor_sizes) != len(STRIDES) + 1 or min(anchor_sizes) < 1:
            raise ValueError(f"anchor_sizes is {anchor_sizes}; {len(STRIDES) + 1} sides of at least 1 pixel are needed")
        self._arguments = (backbone, backbone_weights, pyramid_channels, head_channels, tuple(anchor_sizes), proposals)
        self.network = self._build()
        pyramid, generator = self.network.pyramid, self.network.rpn.anchor_generator
        counts, anchors = pyramid.anchors(generator, image_height, image_width)
        self._counts = [count * len(RATIOS) for count in counts]
        if proposals > len(anchors):
            raise ValueError(f"proposals is {proposals}; images of this size have {len(anchors)} anchors, so no more")
        self._proposals = proposals
        self.register_buffer("anchors", anchors, persistent=False)

    def loss(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Losses ``objectness``, ``proposal``, ``class`` and ``box``; see :class:`DetectionModel`."""
        levels = self.network.pyramid(images)
        # torchvision counts the background as class 0.
        wanted = [{"boxes": target.boxes, "labels": target.labels + 1} for target in targets]
        sizes = [(self.image_height, self.image_width)] * len(targets)
        with torch.autocast(images.device.type, enabled=False):
            regions, first = self.network.rpn(ImageList(images, sizes), levels, wanted)
            _, second = self.network.roi(levels, regions, sizes, wanted)
        return {
            "objectness": first["loss_objectness"],
            "proposal": first["loss_rpn_box_reg"],
            "class": second["loss_classifier"],
            "box": second["loss_box_reg"],
        }

    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """One box per proposal and the score of every class; see :class:`DetectionModel`."""
        levels = list(self.network.pyramid(images).values())
        roi, size = self.network.roi, (self.image_height, self.image_width)
        regions, real = propose(self.network.rpn, levels, self.anchors, self._counts, size, self._proposals)
        logits, deltas = roi.box_predictor(roi.box_head(pool(levels[: len(STRIDES)], regions, STRIDES, POOLED)))
        boxes = roi.box_coder.decode_single(deltas[:, :4].float(), regions.flatten(0, 1)).view_as(regions)
        scores = logits.float().softmax(-1)[:, 1:].reshape(-1, self._proposals, self.num_classes)
        return clip_boxes_to_image(boxes, size), scores * real[..., None]

    def initialise(self, seed: int) -> None:
        """Starting values; see :class:`DetectionModel`."""
        initialise_by_building(self.network, self._build, seed)
        self.load_pretrained()

    def load_pretrained(self) -> None:
        """Load the backbone's starting weights; see :class:`Backbone`."""
        self.network.pyramid.backbone.load_pretrained()

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first stages of the backbone; see :class:`Backbone`."""
        self.network.pyramid.backbone.freeze(stages)

    def _build(self) -> _Network:
        backbone, weights, channels, head_channels, sizes, proposals = self._arguments
        pyramid = Pyramid(Backbone(backbone, weights), channels, LastLevelMaxPool())
        generator = AnchorGenerator(tuple((size,) for size in sizes), (RATIOS,) * len(sizes))
        rpn = RegionProposalNetwork(
            generator,
            RPNHead(channels, len(RATIOS)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 4 * proposals, "testing": proposals},
            post_nms_top_n={"training": 2 * proposals, "testing": proposals},
            nms_thresh=0.7,
        )
        roi = RoIHeads(
            MultiScaleRoIAlign([str(i) for i in range(len(STRIDES))], POOLED, sampling_ratio=2),
            TwoMLPHead(channels * POOLED**2, head_channels),
            _Predictor(head_channels, self.num_classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=min(512, 2 * proposals),
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=0.0,
            nms_thresh=0.5,
            detections_per_img=100,
        )
        return _Network(pyramid, rpn, roi)


class _Network(nn.Module):
    """The three parts, none of which is called as a whole."""

    def __init__(self, pyramid: Pyramid, rpn: RegionProposalNetwork, roi: RoIHeads) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.rpn = rpn
        self.roi = roi


class _Predictor(nn.Module):
    """Scores of every class, background first, and one change of the box, given as if it were each class's own."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(channels, classes)
        self.change = nn.Linear(channels, 4)
        self._classes = classes

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = features.flatten(1)
        return self.score(features), self.change(features).repeat(1, self._classes)
