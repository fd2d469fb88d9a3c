"""Bytes to pixels: the one image decoder, used by preparation, evaluation and serving alike."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Pixels, uint8 ``[H, W, 3]``, RGB, upright (EXIF orientation applied)."""


class ImageDecodeError(ValueError):
    """The bytes are no image that can be read; the message says what was seen."""


def decode_image(data: bytes) -> Image:
    """Decode an image file.

    Grey, palette, 16-bit, CMYK and RGBA images become 8-bit RGB; alpha is dropped; EXIF orientation is applied.

    Args:
        data: a whole image file (JPEG, PNG, WebP, BMP, TIFF, …).

    Returns:
        uint8 ``[H, W, 3]``, RGB.

    Raises:
        ImageDecodeError: empty, truncated, too large, or of a type that is not an image.
    """
    if not data:
        raise ImageDecodeError("the image is empty (0 bytes); send the whole file")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageDecodeError(f"{len(data)} bytes that cannot be decoded: {error.err}") from error
    if bgr is None:
        raise ImageDecodeError(
            f"{len(data)} bytes starting with {data[:8].hex(' ')} are no image that can be read, "
            "or the file is truncated; allowed are JPEG, PNG, WebP, BMP and TIFF"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
