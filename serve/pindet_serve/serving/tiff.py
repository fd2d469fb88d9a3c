"""The first directory of a TIFF file: its size, and whether libtiff would multiply its colours with its alpha."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MOST_ENTRIES = 100_000
_WIDTH, _HEIGHT, _EXTRA_SAMPLES = 256, 257, 338
_ASSOCIATED, _UNASSOCIATED = 1, 2
_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory says.

    Attributes:
        image_width: pixels, 0 if it does not say.
        image_height: pixels, 0 if it does not say.
        alpha_at: where the kind of its alpha is written, if that is one that libtiff multiplies with; else -1.
        order: byte order, ``<`` or ``>``.
    """

    image_width: int
    image_height: int
    alpha_at: int
    order: str


def read_tiff(data: bytes) -> TiffHeader:
    """Read the first directory of a classic or big TIFF.

    Raises:
        struct.error, IndexError, OverflowError: it is truncated, or no TIFF.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    word = "Q" if big else "I"
    (start,) = struct.unpack_from(order + word, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    start, step, inline = start + (8 if big else 2), 20 if big else 12, 8 if big else 4
    if count > MOST_ENTRIES:
        raise IndexError
    sizes: dict[int, int] = {}
    alpha_at: int | None = None
    for position in range(start, start + count * step, step):
        tag, kind, values = struct.unpack_from(order + "HH" + word, data, position)
        at = position + step - inline
        # Of entries that are there twice, libtiff takes the first: a small one behind must not hide a large one.
        if tag in (_WIDTH, _HEIGHT) and tag not in sizes:
            (sizes[tag],) = struct.unpack_from(order + _CODES.get(kind, "I"), data, at)
        elif tag == _EXTRA_SAMPLES and alpha_at is None:
            if 2 * values > inline:  # the values are elsewhere, and here is where
                (at,) = struct.unpack_from(order + word, data, at)
            (sample,) = struct.unpack_from(order + "H", data, at)
            alpha_at = at if sample == _UNASSOCIATED else -1
    return TiffHeader(sizes.get(_WIDTH, 0), sizes.get(_HEIGHT, 0), -1 if alpha_at is None else alpha_at, order)


def with_colours_as_stored(data: bytes) -> bytes:
    """The same file, its alpha called one that the colours already contain.

    libtiff otherwise multiplies the colours with it, and a model would see another picture than the one that is
    stored, in which alpha is dropped as it is for PNG and WebP.
    """
    header = read_tiff(data)
    if header.alpha_at < 0:
        return data
    kind = struct.pack(header.order + "H", _ASSOCIATED)
    return data[: header.alpha_at] + kind + data[header.alpha_at + 2 :]
