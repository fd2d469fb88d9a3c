"""What the header of a JPEG or PNG says: its pixel format and its EXIF orientation (1..8, 1 is upright)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_plain(data: bytes) -> bool:
    """Whether the bytes are an 8-bit RGB or grey JPEG or PNG that is displayed as stored."""
    try:
        if data.startswith(_PNG):
            return _plain_png(data)
        return data.startswith(b"\xff\xd8") and _plain_jpeg(data)
    except (struct.error, IndexError):
        return False


def orientation(data: bytes) -> int:
    """EXIF orientation of a JPEG or PNG; 1 when it states none."""
    try:
        if data.startswith(_PNG):
            return next((_tiff(body) for kind, body in _chunks(data) if kind == b"eXIf"), 1)
        if data.startswith(b"\xff\xd8"):
            bodies = (body for marker, body in _segments(data) if marker == 0xE1 and body.startswith(b"Exif\0\0"))
            return next((_tiff(body[6:]) for body in bodies), 1)
    except (struct.error, IndexError):
        pass
    return 1


def _plain_png(data: bytes) -> bool:
    depth, colour = data[24], data[25]
    odd = any(kind == b"tRNS" or (kind == b"eXIf" and _tiff(body) != 1) for kind, body in _chunks(data))
    return depth == 8 and colour in (0, 2) and not odd


def _plain_jpeg(data: bytes) -> bool:
    plain = False
    for marker, body in _segments(data):
        if marker in _SOF:
            plain = body[0] == 8 and body[5] in (1, 3)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0") and _tiff(body[6:]) != 1:
            return False
    return plain


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + size]
        at += size + 12


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        yield data[at + 1], data[at + 4 : at + 2 + size]
        at += 2 + size


def _tiff(tiff: bytes) -> int:
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for i in range(count):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, first + 2 + 12 * i)
        if tag == 0x0112:
            return int(value)
    return 1
