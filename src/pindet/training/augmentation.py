"""Random changes of a training sample, each a function of one random generator."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray
from pindet_serve.images import Image
from pindet_serve.letterbox import Boxes

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in what the eye sees as brightness (ITU-R BT.601)."""
FILL = 114


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much samples are changed; 0 everywhere changes nothing.

    Args:
        horizontal_flip, vertical_flip: probability of each.
        scale: the image is resized by a factor between ``1 - scale`` and ``1 / (1 - scale)``, and lies anywhere
            in the frame, cut where it is larger.
        brightness, contrast, saturation: each multiplied by a factor between ``1 - x`` and ``1 + x``.
        hue: turned by up to this share of the colour circle, either way; at most 0.5.
        visible: least share of a cut box's area that keeps it labelled.

    Raises:
        ValueError: a value outside what is allowed.
    """

    horizontal_flip: float
    vertical_flip: float
    scale: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    visible: float

    def __post_init__(self) -> None:
        limits = {"horizontal_flip": 1.0, "vertical_flip": 1.0, "scale": 0.9, "hue": 0.5}
        for field in fields(self):
            value, limit = getattr(self, field.name), limits.get(field.name, 1.0)
            if not 0 <= value <= limit:
                raise ValueError(f"augmentation.{field.name} is {value}; 0 to {limit} is allowed")

    def __call__(
        self, image: Image, boxes: Boxes, height: int, width: int, rng: np.random.Generator
    ) -> tuple[Image, Boxes, NDArray[np.bool_]]:
        """Change a sample and lay it into a frame of ``height`` x ``width`` pixels.

        Args:
            image: uint8 ``[H, W, 3]``, already of the size that fits the frame.
            boxes: float32 ``[M, 4]`` xyxy in its pixels.

        Returns:
            the frame, the boxes ``[K, 4]`` that are still visible in it, and which of the ``M`` they are.
        """
        matrix = self._placement(image.shape[0], image.shape[1], height, width, rng)
        border = (FILL, FILL, FILL)
        frame = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=border)
        frame = cv2.transform(frame, self._colours(rng))
        moved = _move(boxes, matrix)
        clipped = np.clip(moved, 0, [width, height, width, height]).astype(np.float32)
        kept = (_area(clipped) >= self.visible * _area(moved)) & (clipped[:, 2:] - clipped[:, :2] >= 1).all(1)
        return np.asarray(frame, np.uint8), clipped[kept], kept

    def _placement(
        self, image_height: int, image_width: int, height: int, width: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Affine map ``[2, 3]`` from pixel centres of the image to those of the frame."""
        factor = float(np.exp(rng.uniform(-1, 1) * -np.log(1 - self.scale)))
        free_x, free_y = width - image_width * factor, height - image_height * factor
        x, y = rng.uniform(0, 1, 2) * [free_x, free_y] if self.scale else np.array([free_x, free_y]) // 2
        scale_x, scale_y = factor, factor
        if rng.uniform() < self.horizontal_flip:
            scale_x, x = -factor, x + image_width * factor
        if rng.uniform() < self.vertical_flip:
            scale_y, y = -factor, y + image_height * factor
        # OpenCV numbers pixel centres by integers; coordinates here put them at one half.
        return np.array([[scale_x, 0, x + (scale_x - 1) / 2], [0, scale_y, y + (scale_y - 1) / 2]])

    def _colours(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Colour map ``[3, 4]``: what brightness, contrast, saturation and hue do is linear in red, green, blue."""
        amounts = [self.brightness, self.contrast, self.saturation]
        brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * amounts
        angle = 2 * np.pi * self.hue * rng.uniform(-1, 1)
        grey = np.full((3, 3), 1 / 3)
        turn = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
        hue = grey + np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * turn
        linear = contrast * brightness * (saturation * np.eye(3) + (1 - saturation) * LUMA) @ hue
        offset = np.full((3, 1), (1 - contrast) * FILL)
        return np.hstack([linear, offset]).astype(np.float32)


def _move(boxes: Boxes, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    scale, shift = np.diag(matrix[:, :2]), matrix[:, 2]
    shift = shift - (scale - 1) / 2  # from pixel centres back to edges
    corners = boxes.reshape(-1, 2, 2).astype(np.float64) * scale + shift
    return np.concatenate([corners.min(1), corners.max(1)], 1)


def _area(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])
