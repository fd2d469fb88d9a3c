"""Pictures of doubtful labels: the place in the image, cut out."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from pindet_serve.images import Image

from pindet.evaluation.comparison import ImageComparison
from pindet.evaluation.suspects import Suspect

DETECTED, LABELLED = "#0072b2", "#e69f00"
"""Colours of the two boxes (after Okabe and Ito, "Color Universal Design", 2008)."""
_SIZE = 220
_MARGIN = 0.6
"""Of the longer side of what is shown, on every side of it."""
_LEAST = 32
"""Pixels of the image that are shown at least, in each direction."""


def crop(pixels: Image, image: ImageComparison, suspect: Suspect) -> bytes:
    """JPEG of what was detected, and of the label that it contradicts if there is one, with their surroundings."""
    boxes = [(image.found.boxes[suspect.detection].tolist(), DETECTED)]
    if suspect.truth is not None:
        boxes.append((image.boxes[suspect.truth].tolist(), LABELLED))
    corners = np.array([box for box, _ in boxes])
    (x1, y1), (x2, y2) = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    half = max(_LEAST, (1 + 2 * _MARGIN) * max(x2 - x1, y2 - y1)) / 2
    left, top = round((x1 + x2) / 2 - half), round((y1 + y2) / 2 - half)
    zoom = _SIZE / (2 * half)
    side = round(2 * half)
    # Outside the image a crop is black.
    cut = Picture.fromarray(pixels).crop((left, top, left + side, top + side))
    cut = cut.resize((_SIZE, _SIZE), Picture.Resampling.BILINEAR)
    pen = ImageDraw.Draw(cut)
    for box, color in reversed(boxes):
        place = [(box[0] - left) * zoom, (box[1] - top) * zoom, (box[2] - left) * zoom, (box[3] - top) * zoom]
        pen.rectangle(place, outline=color, width=3)
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
