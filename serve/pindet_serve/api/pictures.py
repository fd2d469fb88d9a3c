"""The picture that a person wants to see: the image with its boxes."""

from __future__ import annotations

import cv2
import numpy as np

from pindet_serve.detections import Detections
from pindet_serve.images import Image

_COLOURS = [(230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (0, 128, 128), (128, 0, 0)]


def draw(image: Image, found: Detections, classes: list[str]) -> Image:
    """Return a copy of an image uint8 ``[H, W, 3]`` RGB with boxes, class names and scores."""
    picture = image.copy()
    scale = max(0.4, max(image.shape[:2]) / 1600)
    thickness = max(1, round(2 * scale))
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        colour = _COLOURS[label % len(_COLOURS)]
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thickness)
        text = f"{_printable(classes[label], label)} {score:.2f}"
        (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        top = max(0, y1 - height - base)
        cv2.rectangle(picture, (x1, top), (x1 + width, top + height + base), colour, -1)
        place = (x1, top + height)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    return picture


def encode(image: Image, media_type: str) -> bytes:
    """Encode an image uint8 ``[H, W, 3]`` RGB as ``image/png`` or ``image/jpeg``."""
    done, data = cv2.imencode(".png" if media_type == "image/png" else ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return np.asarray(data).tobytes()


def _printable(name: str, label: int) -> str:
    # OpenCV's strokes know ASCII only; anything else would be question marks.
    return name if name.isascii() else f"#{label}"
