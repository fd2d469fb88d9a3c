"""What a detector must offer so that training, evaluation and export can work with it.

A model of your own is a subclass of :class:`DetectionModel` whose import path is the ``_target_`` of
``conf/model/<name>.yaml``: two methods, :meth:`~DetectionModel.loss` and :meth:`~DetectionModel.candidates`, and,
where it has them, :meth:`~DetectionModel.load_pretrained` and :meth:`~DetectionModel.freeze`. ``docs/models.md`` shows
one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Target:
    """The labelled objects of one image.

    Attributes:
        boxes: float32 ``[M, 4]``, xyxy in pixels of the letterboxed image; ``M`` may be 0.
        labels: int64 ``[M]``, positions in the ordered class names.
    """

    boxes: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Target:
        """The same objects on another device."""
        return Target(self.boxes.to(device), self.labels.to(device))


class DetectionModel(nn.Module, ABC):
    """A detector for letterboxed images of one size.

    Args:
        image_height, image_width: pixels of the letterboxed images.
        num_classes: at least 1.

    Raises:
        ValueError: one of them is below 1.

    Attributes:
        end_to_end: the model itself gives each object once, so that its candidates are ranked and never suppressed.
        repeatable_on_gpu: whether every gradient of it gives the same bits twice on a GPU. Where torch has only kernels
            that do not, training says so and goes on; else it would end at the first step.
    """

    end_to_end: bool = False
    repeatable_on_gpu: bool = True

    def __init__(self, image_height: int, image_width: int, num_classes: int) -> None:
        super().__init__()
        for name, value in (
            ("image_height", image_height),
            ("image_width", image_width),
            ("num_classes", num_classes),
        ):
            if value < 1:
                raise ValueError(f"{name} is {value}; at least 1 is allowed")
        self.image_height = image_height
        self.image_width = image_width
        self.num_classes = num_classes

    @abstractmethod
    def loss(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Losses of a batch; training minimises their sum.

        Where several processes train, each is given a share of the batch, and their gradients are averaged: what is
        divided by an amount of the batch is divided by its :func:`pindet.models.parallel.normaliser`.

        Args:
            images: uint8 ``[N, 3, H, W]``, RGB.
            targets: one per image.

        Returns:
            named scalars, at least one.
        """

    @abstractmethod
    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Every box that the model considers, before any selection. Exported as a graph whose ``N`` is free.

        Args:
            images: uint8 ``[N, 3, H, W]``, RGB.

        Returns:
            boxes float32 ``[N, A, 4]`` xyxy in letterboxed pixels and scores float32 ``[N, A, C]`` in 0–1.
        """

    def initialise(self, seed: int) -> None:
        """Give every parameter its starting value: a function of ``seed`` and the pretrained weights alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for module in self.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
        self.load_pretrained()

    def load_pretrained(self) -> None:
        """Load the weights that training starts from; building a model to load trained weights never calls this."""

    def freeze(self, stages: int) -> None:
        """Exclude the first ``stages`` stages of the backbone from training, which makes a step cheaper.

        Raises:
            ValueError: the model has fewer stages.
        """
        if stages != 0:
            raise ValueError(f"{type(self).__name__} has no stages to freeze, {stages} are asked for; use 0")
