"""What the header of a JPEG or PNG says: its pixel format and its EXIF orientation."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pindet_serve.images import decode_image

_PNG = b"\x89PNG\r\n\x1a\n"
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def displayed_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of the displayed (EXIF-rotated) image; raises ImageDecodeError."""
    height, width, _ = decode_image(data).shape
    return width, height


def is_plain(data: bytes) -> bool:
    """Whether the bytes are an 8-bit RGB or grey JPEG or PNG that is displayed as stored."""
    try:
        if data.startswith(_PNG):
            return _plain_png(data)
        return data.startswith(b"\xff\xd8") and _plain_jpeg(data)
    except (struct.error, IndexError):
        return False


def _plain_png(data: bytes) -> bool:
    depth, colour = data[24], data[25]
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"tRNS" or (kind == b"eXIf" and _orientation(data[at + 8 : at + 8 + size]) != 1):
            return False
        at += size + 12
    return depth == 8 and colour in (0, 2)


def _plain_jpeg(data: bytes) -> bool:
    plain = False
    for marker, body in _segments(data):
        if marker in _SOF:
            plain = body[0] == 8 and body[5] in (1, 3)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and _orientation(body[6:]) != 1:
            return False
    return plain


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        yield data[at + 1], data[at + 4 : at + 2 + size]
        at += 2 + size


def _orientation(tiff: bytes) -> int:
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for i in range(count):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, first + 2 + 12 * i)
        if tag == 0x0112:
            return int(value)
    return 1
