"""The one letterbox: an image of any size into the model's input and its boxes back.

Coordinates are continuous: a pixel ``i`` covers ``[i, i + 1)``, so an image of width ``W`` spans ``[0, W]``.
The image keeps its aspect up to the rounding of its resized sides to whole pixels; the two axes are therefore
mapped back with their own, exact, scale.

There are two ways to shrink. ``pyramid`` halves a side, each new pixel the mean of two, as long as it is at least
twice too long, then interpolates linearly. That takes a third to a sixth of the time of ``area``, where a new pixel is
the mean of all that it covers: smoother when an image is less than twice too large, and the way of bundles that name
none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from pindet_serve.images import Image

Boxes = NDArray[np.float32]
"""float32 ``[N, 4]``, xyxy in pixels."""


Resampling = Literal["area", "pyramid"]
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)


@dataclass(frozen=True)
class Placement:
    """Where an image of ``image_width`` x ``image_height`` pixels lies inside the letterboxed one.

    A side that is odd when it is halved is continued by its last pixel first: what is resized is then up to a new pixel
    longer, ``seen_width`` x ``seen_height``.
    """

    image_height: int
    image_width: int
    seen_height: int
    seen_width: int
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
        x, y = self.resized_width / self.seen_width, self.resized_height / self.seen_height
        return np.array([x, y, x, y], np.float64)

    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top, self.left, self.top], np.float64)


@dataclass(frozen=True)
class Letterbox:
    """Resizes into ``image_height`` x ``image_width`` pixels keeping the aspect; the rest is ``fill`` grey.

    Raises:
        ValueError: a side below 1, a fill outside 0–255, or a resampling that is none.
    """

    image_height: int
    image_width: int
    fill: int = 114
    resampling: Resampling = "pyramid"

    def __post_init__(self) -> None:
        for name in ("image_height", "image_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1 pixel")
        if not 0 <= self.fill <= 255:
            raise ValueError(f"fill is {self.fill}; a grey level from 0 to 255 is allowed")
        if self.resampling not in RESAMPLINGS:
            raise ValueError(f"resampling is {self.resampling!r}; allowed are {', '.join(RESAMPLINGS)}")

    def place(self, image_height: int, image_width: int) -> Placement:
        """Where an image of that size goes: centred, the larger relative side filling its axis."""
        if image_height < 1 or image_width < 1:
            raise ValueError(f"the image is {image_width}x{image_height} pixels; both must be at least 1")
        ratio = min(self.image_height / image_height, self.image_width / image_width)
        height = min(self.image_height, max(1, round(image_height * ratio)))
        width = min(self.image_width, max(1, round(image_width * ratio)))
        top, left = (self.image_height - height) // 2, (self.image_width - width) // 2
        seen_height, seen_width = image_height, image_width
        if self.resampling == "pyramid":
            seen_height, seen_width = _seen(image_height, height), _seen(image_width, width)
        return Placement(image_height, image_width, seen_height, seen_width, height, width, top, left)

    def __call__(self, image: Image) -> tuple[Image, Placement]:
        """Letterbox one RGB image uint8 ``[H, W, 3]``."""
        placement = self.place(image.shape[0], image.shape[1])
        canvas = np.full((self.image_height, self.image_width, 3), self.fill, np.uint8)
        rows = slice(placement.top, placement.top + placement.resized_height)
        columns = slice(placement.left, placement.left + placement.resized_width)
        canvas[rows, columns] = _RESIZE[self.resampling](image, placement.resized_height, placement.resized_width)
        return canvas, placement


def _halvings(side: int, wanted: int) -> int:
    """How often a side can be halved and still has as many pixels as are wanted."""
    return max(0, (side // wanted).bit_length() - 1)


def _seen(side: int, wanted: int) -> int:
    """How long a side is that can be halved as often."""
    halvings = _halvings(side, wanted)
    return -(-side >> halvings) << halvings


def _pyramid(image: Image, height: int, width: int) -> Image:
    down, across = _halvings(image.shape[0], height), _halvings(image.shape[1], width)
    for step in range(max(down, across)):
        rows, columns = 1 + (step < down), 1 + (step < across)
        below, beside = image.shape[0] % rows, image.shape[1] % columns
        if below or beside:
            image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8)
        half_height, half_width = image.shape[0] // rows, image.shape[1] // columns
        image = np.asarray(cv2.resize(image, (half_width, half_height), interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)


def _area(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    # Area averaging when shrinking keeps small objects from aliasing away; it is nearest-neighbour when growing.
    shrinking = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


_RESIZE: dict[Resampling, Callable[[Image, int, int], Image]] = {"area": _area, "pyramid": _pyramid}
