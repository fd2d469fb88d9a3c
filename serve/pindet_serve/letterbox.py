"""The one letterbox: an image of any size into the model's input and its boxes back.

Coordinates are continuous: a pixel ``i`` covers ``[i, i + 1)``, so an image of width ``W`` spans ``[0, W]``.
The image keeps its aspect up to the rounding of its resized sides to whole pixels; the two axes are therefore
mapped back with their own, exact, scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pindet_serve.images import Image

Boxes = NDArray[np.float32]
"""float32 ``[N, 4]``, xyxy in pixels."""


@dataclass(frozen=True)
class Placement:
    """Where an image of ``image_width`` x ``image_height`` pixels lies inside the letterboxed one."""

    image_height: int
    image_width: int
    resized_height: int
    resized_width: int
    top: int
    left: int

    def to_letterboxed(self, boxes: Boxes) -> Boxes:
        """Map boxes ``[N, 4]`` xyxy from pixels of the image to pixels of the letterboxed image."""
        return (boxes.astype(np.float64) * self._scale() + self._offset()).astype(np.float32)

    def to_image(self, boxes: Boxes) -> Boxes:
        """Map boxes ``[N, 4]`` xyxy from pixels of the letterboxed image back to the image, clipped to it."""
        limits = np.array([self.image_width, self.image_height] * 2, np.float64)
        mapped = (boxes.astype(np.float64) - self._offset()) / self._scale()
        return np.clip(mapped, 0, limits).astype(np.float32)

    def _scale(self) -> NDArray[np.float64]:
        x, y = self.resized_width / self.image_width, self.resized_height / self.image_height
        return np.array([x, y, x, y], np.float64)

    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, self.left, self.top], np.float64)


@dataclass(frozen=True)
class Letterbox:
    """Resizes into ``image_height`` x ``image_width`` pixels keeping the aspect; the rest is ``fill`` grey.

    Raises:
        ValueError: a side below 1 or a fill outside 0–255.
    """

    image_height: int
    image_width: int
    fill: int = 114

    def __post_init__(self) -> None:
        for name in ("image_height", "image_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1 pixel")
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill is {self.fill}; a grey level from 0 to 255 is allowed")

    def place(self, image_height: int, image_width: int) -> Placement:
        """Where an image of that size goes: centred, the larger relative side filling its axis."""
        if image_height < 1 or image_width < 1:
            raise ValueError(f"the image is {image_width}x{image_height} pixels; both must be at least 1")
        ratio = min(self.image_height / image_height, self.image_width / image_width)
        height = min(self.image_height, max(1, round(image_height * ratio)))
        width = min(self.image_width, max(1, round(image_width * ratio)))
        top, left = (self.image_height - height) // 2, (self.image_width - width) // 2
        return Placement(image_height, image_width, height, width, top, left)

    def __call__(self, image: Image) -> tuple[Image, Placement]:
        """Letterbox one RGB image uint8 ``[H, W, 3]``."""
        placement = self.place(image.shape[0], image.shape[1])
        canvas = np.full((self.image_height, self.image_width, 3), self.fill, np.uint8)
        rows = slice(placement.top, placement.top + placement.resized_height)
        columns = slice(placement.left, placement.left + placement.resized_width)
        canvas[rows, columns] = _resize(image, placement.resized_height, placement.resized_width)
        return canvas, placement


def _resize(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    # Area averaging when shrinking keeps small objects from aliasing away; it is nearest-neighbour when growing.
    shrinking = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
