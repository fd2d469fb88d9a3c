"""Check one item: boxes dropped or clipped, odd images converted, broken ones dropped; all of it reported."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
from pindet_serve.images import Image, ImageDecodeError, decode_image

from pindet.data.headers import is_plain, orientation
from pindet.data.records import Item, RawBox, Reason, Rejection

_DIGITS = 3
"""Decimals kept of a pixel: far below any label's precision, above the rounding of normalised formats."""


@dataclass(frozen=True)
class Cleaned:
    """A whole image: name and bytes to store, sha256 of its decoded pixels, size in pixels and boxes inside it."""

    name: str
    data: bytes
    digest: str
    width: int
    height: int
    boxes: list[RawBox]


def clean(item: Item) -> tuple[Cleaned | None, list[Rejection]]:
    """Read and check one item.

    Returns:
        The cleaned item, or None when it is dropped, and everything that was dropped, clipped or converted.
    """
    try:
        data = item.read()
        pixels = decode_image(data)
    except (OSError, ImageDecodeError) as error:
        return None, [Rejection(item.name, Reason.UNREADABLE, _why(error), "dropped")]
    height, width = pixels.shape[:2]
    placed, rejections = _placed(item, data, width, height)
    if placed is None:
        return None, rejections
    name = item.name
    if not is_plain(data):
        data = _png(pixels)
        name = name if name.lower().endswith(".png") else PurePosixPath(name).with_suffix(".png").as_posix()
        detail = f"stored as 8-bit RGB PNG {name}"
        rejections.append(Rejection(item.name, Reason.PIXEL_FORMAT, detail, "converted"))
    boxes = []
    for box in placed:
        kept, rejection = clean_box(item.name, box, width, height)
        rejections += [rejection] if rejection else []
        boxes += [kept] if kept else []
    return Cleaned(name, data, content_digest(pixels), width, height, boxes), rejections


def _why(error: Exception) -> str:
    """The message without the path: reports hold nothing of the machine."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _placed(item: Item, data: bytes, width: int, height: int) -> tuple[list[RawBox] | None, list[Rejection]]:
    """The boxes in pixels of the displayed image, or None when nobody knows where they are."""
    if item.normalised:
        return [RawBox(b.label, b.x1 * width, b.y1 * height, b.x2 * width, b.y2 * height) for b in item.boxes], []
    declared = (item.declared_width or width, item.declared_height or height)
    if declared == (width, height):
        return item.boxes, []
    turned = orientation(data)
    if declared == (height, width) and turned >= 5:
        detail = f"boxes of the stored {declared} turned as EXIF orientation {turned} turns the image"
        boxes = [_turned(box, turned, width, height) for box in item.boxes]
        return boxes, [Rejection(item.name, Reason.SIZE_MISMATCH, detail, "converted")]
    detail = f"the annotation says {declared}, the displayed image is {(width, height)}; correct one of them"
    return None, [Rejection(item.name, Reason.SIZE_MISMATCH, detail, "dropped")]


def _turned(box: RawBox, orientation: int, width: int, height: int) -> RawBox:
    """Exchange x and y, then mirror along the axes of the displayed image, ``width`` x ``height``."""
    x1, y1, x2, y2 = box.y1, box.x1, box.y2, box.x2
    if orientation in (6, 7):
        x1, x2 = width - x2, width - x1
    if orientation in (7, 8):
        y1, y2 = height - y2, height - y1
    return RawBox(box.label, x1, y1, x2, y2)


def clean_box(name: str, box: RawBox, width: int, height: int) -> tuple[RawBox | None, Rejection | None]:
    """Check one box against an image of ``width`` x ``height`` pixels; return what is kept and why it changed."""
    values = (box.x1, box.y1, box.x2, box.y2)
    if not all(math.isfinite(v) for v in values):
        return None, Rejection(name, Reason.NOT_FINITE, f"{box}", "dropped")
    # Adding zero turns -0.0 into 0.0, which prints otherwise.
    x1, y1, x2, y2 = (round(v, _DIGITS) + 0.0 for v in values)
    if x2 < x1 or y2 < y1:
        return None, Rejection(name, Reason.REVERSED, f"{box}", "dropped")
    if x2 == x1 or y2 == y1:
        return None, Rejection(name, Reason.ZERO_AREA, f"{box}", "dropped")
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return None, Rejection(name, Reason.OUTSIDE, f"{box} outside {width} x {height}", "dropped")
    kept = RawBox(box.label, max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if (kept.x1, kept.y1, kept.x2, kept.y2) == (x1, y1, x2, y2):
        return kept, None
    return kept, Rejection(name, Reason.OUTSIDE, f"{box} partly outside {width} x {height}", "clipped")


def content_digest(pixels: Image) -> str:
    """sha256 of shape and pixels (uint8 RGB ``[H, W, 3]``): the same picture in another file is the same."""
    digest = hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}:".encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def _png(pixels: Image) -> bytes:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return bytes(encoded.tobytes())
