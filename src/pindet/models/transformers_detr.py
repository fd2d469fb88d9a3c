"""End-to-end detectors of the ``transformers`` library: D-FINE and RT-DETRv2.

Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement", ICLR 2025,
arXiv:2410.13842. Lv et al., "RT-DETRv2: Improved Baseline with Bag-of-Freebies for Real-Time Detection Transformer",
2024, arXiv:2407.17140. The library is imported when such a model is built and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert, clip_boxes_to_image

from pindet.models.backbone import STRIDES, Backbone
from pindet.models.contract import DetectionModel, Target
from pindet.models.parallel import correction
from pindet.models.rebuilding import initialise_by_building
from pindet.models.transformers_inference import infer
from pindet.models.transformers_library import Library
from pindet.models.transformers_weights import pretrained_state

OWN = "own"
LOSSES = {"vfl": "class", "bbox": "box", "giou": "overlap", "fgl": "distribution", "ddf": "distillation"}
"""The library's names of losses, which it gives for each layer, and those of their sums here."""
MEAN = "distillation"
"""The one of them that is no sum divided by the number of objects."""


class TransformersDetr(DetectionModel):
    """A detection transformer: a fixed number of queries, each at most one object, and no suppression.

    Args:
        image_height, image_width: pixels, multiples of 32.
        num_classes: at least 1.
        architecture: ``d_fine`` or ``rt_detr_v2``.
        backbone: ``own``, as ``config.backbone_config`` describes it, or a timm network with features at strides 8, 16
            and 32.
        backbone_weights: of a timm network: ``packaged``, ``hub``, ``none`` or a checkpoint file.
        weights: of the whole network, with ``own``: ``none``, a folder that the library's ``save_pretrained`` wrote,
            or ``hub:`` and a name there, which alone uses a network.
        config: values of the library's configuration class that differ from its defaults.

    Raises:
        ValueError: a value outside what is allowed, or ``transformers`` is not installed.
    """

    end_to_end = True
    repeatable_on_gpu = False  # it samples features between pixels: torch adds up that gradient in any order there

    def __init__(
        self,
        image_height: int,
        image_width: int,
        num_classes: int,
        architecture: Literal["d_fine", "rt_detr_v2"],
        backbone: str,
        backbone_weights: str,
        weights: str,
        config: dict[str, Any],
    ) -> None:
        super().__init__(image_height, image_width, num_classes)
        for name, value in (("image_height", image_height), ("image_width", image_width)):
            if value % STRIDES[-1]:
                raise ValueError(f"{name} is {value}; a multiple of {STRIDES[-1]} is needed")
        if backbone != OWN and weights != "none":
            raise ValueError(f"weights is {weights!r} and backbone {backbone!r}; weights of a whole network need 'own'")
        self._library = Library(architecture)
        self._backbone = None if backbone == OWN else (backbone, backbone_weights)
        self._weights = weights
        self._config = dict(config)
        self.network = self._build()
        queries = self.network.config.num_queries
        places = sum((image_height // s) * (image_width // s) for s in self.network.config.feat_strides)
        if queries > places:
            raise ValueError(f"config.num_queries is {queries}; images of this size have {places} places, so no more")
        if self.network.config.learn_initial_query:
            raise ValueError("config.learn_initial_query is true; queries from the image alone are supported: leave it")

    def loss(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """The library's losses, summed over layers; see :class:`DetectionModel`."""
        size = torch.tensor([self.image_width, self.image_height] * 2, device=images.device)
        labels = [
            {"class_labels": target.labels, "boxes": box_convert(target.boxes, "xyxy", "cxcywh") / size}
            for target in targets
        ]
        with torch.autocast(images.device.type, enabled=False):
            found = self.network(pixel_values=self._pixels(images), labels=labels).loss_dict
        factor = correction(torch.tensor(float(sum(len(target.labels) for target in targets)), device=images.device))
        sums: dict[str, Tensor] = {}
        for name, value in found.items():
            known = LOSSES[name.split("_")[1]]
            if known != MEAN:
                value = value * factor
            sums[known] = sums[known] + value if known in sums else value
        return sums

    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """One box per query and the score of every class; see :class:`DetectionModel`."""
        logits, found = infer(self.network, self._pixels(images))
        size = torch.tensor([self.image_width, self.image_height] * 2, device=images.device)
        boxes = box_convert(found.float(), "cxcywh", "xyxy") * size
        return clip_boxes_to_image(boxes, (self.image_height, self.image_width)), logits.float().sigmoid()

    def initialise(self, seed: int) -> None:
        """Starting values; see :class:`DetectionModel`."""
        initialise_by_building(self.network, self._build, seed)
        self.load_pretrained()

    def load_pretrained(self) -> None:
        """Load the weights that training starts from.

        Raises:
            ValueError: they are missing, unreachable or of another network.
        """
        if self._backbone is not None:
            self.network.model.backbone.body.load_pretrained()
        elif self._weights != "none":
            state = pretrained_state(self._library, self._weights, self._full_config())
            self.network.load_state_dict(state, strict=False)

    def freeze(self, stages: int) -> None:
        """Stop training the stem and the first stages of the backbone; see :class:`DetectionModel`.

        Raises:
            ValueError: there are fewer, or they would stay random.
        """
        if self._backbone is not None:
            self.network.model.backbone.body.freeze(stages)
            return
        if stages and self._weights == "none":
            raise ValueError(f"{stages} stages to freeze, and weights is 'none': they would stay random; freeze 0")
        body = self.network.model.backbone.model
        if not 0 <= stages <= len(body.encoder.stages):
            raise ValueError(f"{stages} stages to freeze; 0 to {len(body.encoder.stages)} are allowed")
        for part in (body.embedder, *body.encoder.stages[:stages]) if stages else ():
            part.requires_grad_(False)

    def _pixels(self, images: Tensor) -> Tensor:
        """What the network reads: a timm backbone normalises pixels itself, the library's own reads 0 to 1."""
        return images.float() if self._backbone is not None else images.float() / 255

    def _build(self) -> Any:
        if self._backbone is None:
            return self._library.build(self._full_config())
        body = Backbone(*self._backbone)
        network = self._library.build(self._full_config(body.channels))
        network.model.backbone = _Features(body)
        return network

    def _full_config(self, channels: Sequence[int] | None = None) -> Any:
        values = self._config | {
            "num_labels": self.num_classes,
            "anchor_image_size": [self.image_height, self.image_width],
        }
        if channels is not None:
            values |= {"encoder_in_channels": list(channels), "backbone_config": self._library.stand_in(channels)}
        return self._library.config(values)


class _Features(nn.Module):
    """A timm backbone in the place of the library's own."""

    def __init__(self, body: Backbone) -> None:
        super().__init__()
        self.body = body

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> list[tuple[Tensor, None]]:
        del pixel_mask  # letterboxed images have no padding that the network should not see
        return [(feature.float(), None) for feature in self.body(pixel_values)]
