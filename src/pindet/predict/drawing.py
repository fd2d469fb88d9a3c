"""Pictures of detections."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw
from pindet_serve.detections import Detections
from pindet_serve.images import Image

from pindet.predict.fonts import font_for

Colour = tuple[int, int, int]
LEAST_SIZE = 12
"""Of the letters, in pixels."""

GOLDEN_RATIO = 0.618034
"""Hues that far apart on the circle stay apart, however many there are."""


def draw(image: Image, detections: Detections, classes: Sequence[str]) -> Image:
    """Draw boxes, class names and scores onto a copy of an image uint8 ``[H, W, 3]`` RGB, the best score on top.

    A name that no font of the machine can draw is replaced by ``#`` and its label.
    """
    canvas = Pillow.fromarray(image)
    brush = ImageDraw.Draw(canvas)
    size = max(LEAST_SIZE, round(min(image.shape[:2]) / 40))
    rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
    for box, score, label in reversed(list(rows)):
        _draw_one(brush, box, f" {score:.2f}", (label, classes[label]), size)
    return np.asarray(canvas, np.uint8)


def replaced(classes: Sequence[str]) -> dict[str, str]:
    """What :func:`draw` writes, ``#`` and the label, for each class name that no font of the machine can draw."""
    scores = " 0123456789."
    return {f"#{label}": name for label, name in enumerate(classes) if font_for(name + scores, LEAST_SIZE) is None}


def colour_of(label: int) -> Colour:
    """The colour of a class, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_one(
    brush: ImageDraw.ImageDraw, box: Sequence[float], score: str, named: tuple[int, str], size: int
) -> None:
    label, name = named
    text = name + score
    font = font_for(text, size)
    if font is None:
        text = f"#{label}{score}"
        font = font_for(text, size)
    colour = colour_of(label)
    brush.rectangle(list(box), outline=colour, width=max(2, size // 8))
    left, top, right, bottom = brush.textbbox((0, 0), text, font)
    width, height = right - left + 4, bottom - top + 4
    # Above the box, or inside its upper edge where the picture ends; never beyond the right edge. On whole pixels:
    # between two of them Pillow cuts letters off at the upper edge.
    x = max(0, round(min(box[0], brush.im.size[0] - width)))
    y = round(box[1] - height if box[1] >= height else box[1])
    brush.rectangle([x, y, x + width, y + height], fill=colour)
    dark = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140
    brush.text((x + 2 - left, y + 2 - top), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font)
