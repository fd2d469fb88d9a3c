"""The records that sources yield and cleaning passes on. Boxes are ``x1, y1, x2, y2`` in displayed pixels."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

Action = Literal["dropped", "excluded", "clipped", "converted", "kept"]
"""Dropped: a defect, counted against ``max_rejected``. Excluded: left out because a setting asks for it. Clipped and
converted: mended. Kept: nothing was changed, but somebody should look."""

SPLITS = ("train", "val", "test")


class SourceError(ValueError):
    """The source cannot be prepared as it is; the message says what was seen and how to remedy it."""


class Reason(StrEnum):
    """Why something was changed or left out."""

    UNREADABLE = "unreadable"
    """The image or its annotation cannot be parsed, or the image is truncated."""
    ZERO_AREA = "zero_area"
    """A box whose width or height is zero."""
    REVERSED = "reversed"
    """A box whose second corner lies before its first."""
    OUTSIDE = "outside"
    """A box partly (clipped) or wholly (dropped) outside the image."""
    NOT_FINITE = "not_finite"
    """A box with a coordinate that is NaN or infinite."""
    SIZE_MISMATCH = "size_mismatch"
    """The annotation states another size than the displayed image, so the frame of its boxes is unknown. When it is
    the size before EXIF rotation, the boxes are turned along with the image."""
    PIXEL_FORMAT = "pixel_format"
    """Rotated by EXIF, or not a JPEG or PNG of 8-bit RGB or grey: stored as 8-bit RGB PNG, and named so."""
    MISSING_IMAGE = "missing_image"
    """A label whose image does not exist."""
    UNKNOWN_CLASS = "unknown_class"
    """A box whose class is not declared."""
    CROWD = "crowd"
    """A COCO box with ``iscrowd``: it surrounds many objects, so it is no box of one."""
    DUPLICATE_NAME = "duplicate_name"
    """A second item of the same name in the same split."""
    DUPLICATE = "duplicate"
    """The same pixels twice in one split: both are kept, since their boxes may differ and none is leaked."""
    DIFFICULT = "difficult"
    """A VOC box marked as difficult: kept or excluded, as the settings say."""
    LEAK = "leak"
    """The same pixels, or the same name in split lists, occur in two splits; test wins, then val."""


@dataclass(frozen=True, slots=True)
class RawBox:
    """One labelled box; edges in pixels of the displayed image, as the source states them."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    def __str__(self) -> str:
        corners = ", ".join(f"{value:.10g}" for value in (self.x1, self.y1, self.x2, self.y2))
        return f"{self.label} box ({corners})"


@dataclass(frozen=True)
class Item:
    """One image with its boxes.

    Attributes:
        name: path below the image folder, with ``/`` and without the split, Unicode NFC.
        read: returns the image file; called when the item is cleaned, so that no image waits in memory.
        boxes: as the source states them; in pixels, or fractions of the displayed image when ``normalised``.
        split: the official one, or None when content and seed decide.
        declared_width, declared_height: of the image as the annotation states it, or None.
    """

    name: str
    read: Callable[[], bytes]
    boxes: list[RawBox]
    split: str | None = None
    declared_width: int | None = None
    declared_height: int | None = None
    normalised: bool = False


@dataclass(frozen=True)
class Rejection:
    """One thing dropped, excluded, clipped, converted, or kept though it looks wrong; never silently."""

    item: str
    reason: Reason
    detail: str
    action: Action


class Source(Protocol):
    """What :func:`pindet.data.prepare.prepare` reads; one with a ``len`` says how many items there are at most."""

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""

    def read(self) -> Iterator[Item | Rejection]:
        """Yield every item and every defect of the source, in a stable order."""


def shortened(names: Iterable[str], most: int = 8) -> str:
    """The first ``most`` names for a message, and an ellipsis for the others."""
    listed = list(names)
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")


def nfc(text: str) -> str:
    """The composed form: file systems and tools disagree on how ``é`` is written, and it has to be one name.

    Raises:
        SourceError: the name of a file that is not UTF-8, as old archives have them.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python holds bytes that it can not read
        raise SourceError(f"the name {text!a} is not UTF-8; rename the file")
    return unicodedata.normalize("NFC", text)
