"""What an image file says of itself in its first bytes: its kind and its size, before anything is decoded.

Also whether it is whole: some decoders fill the missing part of a truncated file with grey, and say nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from pindet_serve.images import Image, ImageDecodeError, decode_image
from pindet_serve.serving.tiff import read_tiff, with_colours_as_stored

ALLOWED = "JPEG, PNG, WebP, BMP and TIFF"


class UnsupportedTypeError(ValueError):
    """The bytes are of a known kind that is not served; the message names it."""


class TooManyPixelsError(ValueError):
    """The image would be too large when decoded."""


@dataclass(frozen=True)
class Header:
    """Kind and size, in pixels as stored, of an image file."""

    kind: str
    image_width: int
    image_height: int


def decode_checked(data: bytes, max_pixels: int) -> Image:
    """Decode an image whose header was looked at first; see :func:`decode_image`.

    Raises:
        UnsupportedTypeError: a kind of file that is not served.
        TooManyPixelsError: more than ``max_pixels``; nothing was decoded.
        ImageDecodeError: it can not be decoded, or is truncated.
    """
    header = read_header(data)
    _refuse_large(header.image_width, header.image_height, max_pixels)
    image = decode_image(with_colours_as_stored(data) if header.kind == "TIFF" else data)
    # A decoder may have read the header in another way than we did.
    _refuse_large(image.shape[1], image.shape[0], max_pixels)
    return image


def _refuse_large(width: int, height: int, max_pixels: int) -> None:
    pixels = width * height
    if pixels > max_pixels:
        raise TooManyPixelsError(
            f"the image is {width}x{height} pixels, {pixels / 1e6:.1f} million; "
            f"at most {max_pixels / 1e6:g} million are allowed"
        )


def read_header(data: bytes) -> Header:
    """Find out kind and size of an image file.

    Raises:
        UnsupportedTypeError: a kind of file that is not served.
        ImageDecodeError: empty, of no known kind, truncated, or without a size.
    """
    for kind, starts, read in _READERS:
        if data.startswith(starts) and (kind != "WebP" or data[8:12] == b"WEBP"):
            try:
                width, height = read(data)
            except (struct.error, IndexError, OverflowError):  # a 64-bit offset may lie beyond any file
                raise ImageDecodeError(f"the {kind} file of {len(data)} bytes is truncated") from None
            if width < 1 or height < 1:
                raise ImageDecodeError(f"the {kind} file says it is {width}x{height} pixels")
            return Header(kind, width, height)
    if name := _other_kind(data):
        raise UnsupportedTypeError(f"this is {name}; allowed are {ALLOWED}")
    if not data:
        raise ImageDecodeError("the image is empty (0 bytes); send the whole file")
    raise ImageDecodeError(
        f"{len(data)} bytes starting with {data[:8].hex(' ')} are no image that can be read; allowed are {ALLOWED}"
    )


def _jpeg(data: bytes) -> tuple[int, int]:
    size = (0, 0)
    position = 2
    for _ in range(_MOST_PARTS):
        position = data.find(b"\xff", position)
        if position < 0:
            raise IndexError
        marker = data[position + 1]
        if marker == 0xFF:  # one of any number of fill bytes
            position += 1
            continue
        position += 2
        if marker in _STANDALONE:
            continue
        if marker in (_START_OF_SCAN, _END):
            break
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, position + 3)
            size = (width, height)
        position += max(length, 2)
    if data.rfind(b"\xff\xd9", position) < 0:
        raise ImageDecodeError(f"the JPEG file of {len(data)} bytes is truncated: it has no end")
    return size


_MOST_PARTS = 100_000
_STANDALONE = frozenset([0x00, 0x01, *range(0xD0, 0xD8)])
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END = 0xDA, 0xD9


def _png(data: bytes) -> tuple[int, int]:
    position = 8
    for _ in range(_MOST_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        position += length + 12
        if kind == b"IEND":
            break
    if position > len(data):
        raise IndexError
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    size, kind = struct.unpack_from("<I4x4s", data, 4)
    if len(data) < size + 8:
        raise IndexError
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)


def _tiff(data: bytes) -> tuple[int, int]:
    header = read_tiff(data)
    return header.image_width, header.image_height


_READERS: tuple[tuple[str, bytes | tuple[bytes, ...], Callable[[bytes], tuple[int, int]]], ...] = (
    ("JPEG", b"\xff\xd8\xff", _jpeg),
    ("PNG", b"\x89PNG\r\n\x1a\n", _png),
    ("WebP", b"RIFF", _webp),
    ("BMP", b"BM", _bmp),
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
)

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF"),
    (b"PK\3\4", "a ZIP archive; send its images to /v1/jobs"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\0\0\0\x0cjP", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"8BPS", "a Photoshop file"),
    (b"#?R", "a Radiance HDR image"),
    (b"v/1\1", "an OpenEXR image"),
    (b"data:", "a data: URL; send the bytes themselves"),
)
_BRANDS = {
    b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIF", b"msf1": "a HEIF", b"avif": "an AVIF", b"avis": "an AVIF",
}  # fmt: skip
_BASE64_STARTS = (b"/9j/", b"iVBORw0KGgo", b"UklGR")


def _other_kind(data: bytes) -> str:
    for start, name in _OTHERS:
        if data.startswith(start):
            return name
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video or another ISO media file")
    if data.startswith(_BASE64_STARTS):
        return "base64 text; send the bytes themselves"
    text = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<?xml", b"<svg")):
        return "an SVG or another XML file"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if data[:1] == b"P" and data[1:2] in b"1234567" and data[2:3] in (b"\n", b" ", b"\t", b"\r"):
        return "a Netpbm image"
    return ""
