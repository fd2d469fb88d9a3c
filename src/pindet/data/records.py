"""The records that sources yield and cleaning passes on. Boxes are ``x1, y1, x2, y2`` in displayed pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

Action = Literal["dropped", "clipped", "converted"]
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
    """The annotation states another size than the displayed image: the frame of its boxes is unknown."""
    PIXEL_FORMAT = "pixel_format"
    """Rotated by EXIF or not plain 8-bit RGB or grey: stored as 8-bit RGB PNG."""
    MISSING_IMAGE = "missing_image"
    """A label whose image does not exist."""
    UNKNOWN_CLASS = "unknown_class"
    """A box whose class is not declared."""
    CROWD = "crowd"
    """A COCO box with ``iscrowd``: it surrounds many objects, so it is no box of one."""
    DUPLICATE_NAME = "duplicate_name"
    """A second item of the same name in the same split."""
    LEAK = "leak"
    """The same pixels, or the same name in split lists, occur in two splits; test wins, then val."""


@dataclass(frozen=True)
class RawBox:
    """One labelled box; edges in pixels of the displayed image, as the source states them."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Item:
    """One image with its boxes; ``name`` is its path below the image folder with ``/``, without the split."""

    name: str
    path: Path
    boxes: list[RawBox]
    declared_width: int | None
    declared_height: int | None
    split: str | None


@dataclass(frozen=True)
class Rejection:
    """One thing dropped, clipped or converted, never silently."""

    item: str
    reason: Reason
    detail: str
    action: Action


class Source(Protocol):
    """What :func:`pindet.data.prepare.prepare` reads."""

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""

    def read(self) -> Iterator[Item | Rejection]:
        """Yield every item and every defect of the source, in a stable order."""
