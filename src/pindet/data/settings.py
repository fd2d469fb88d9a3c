"""What ``params.yaml`` says about the data: one class for each kind of source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pindet.data.coco import CocoSource
from pindet.data.limits import check_class_names, check_limits
from pindet.data.parts.source import PartsSource, check_values
from pindet.data.records import Source
from pindet.data.voc import VocSource
from pindet.data.yolo import YoloSource

Unlabelled = Literal["error", "background"]


@dataclass(frozen=True, kw_only=True)
class PartsData:
    """Rendered machine parts on a conveyor; the splits have the sizes that are asked for.

    Args:
        root: the folder of the generator's code, ``src/pindet/data/parts``: what the data depend on.
        train_images, val_images, test_images: how many images each split has.
        image_height, image_width: in pixels, 128..2048.
        max_objects: parts in the fullest image, 1..60.
        empty_fraction: share of images without a part, 0..1.
        shard_count: tar files per split, 1..1000.

    Raises:
        ValueError: a value outside what is allowed.
    """

    root: str
    train_images: int
    val_images: int
    test_images: int
    image_height: int
    image_width: int
    max_objects: int
    empty_fraction: float
    shard_count: int

    # The generator gives every image its split and makes no mistakes, so these are no settings.
    val_fraction: ClassVar[float] = 0.0
    test_fraction: ClassVar[float] = 0.0
    max_rejected: ClassVar[int] = 0

    def __post_init__(self) -> None:
        check_limits(val_fraction=0.0, test_fraction=0.0, shard_count=self.shard_count, max_rejected=0)
        check_values(
            self._images, image_height=self.image_height, image_width=self.image_width, max_objects=self.max_objects,
            empty_fraction=self.empty_fraction,
        )  # fmt: skip

    @property
    def _images(self) -> dict[str, int]:
        return {"train": self.train_images, "val": self.val_images, "test": self.test_images}

    def source(self, seed: int) -> Source:
        """Return the generator for ``seed``; raises SourceError when ``root`` is not its code."""
        return PartsSource(
            Path(self.root),
            seed=seed,
            images=self._images,
            image_height=self.image_height,
            image_width=self.image_width,
            max_objects=self.max_objects,
            empty_fraction=self.empty_fraction,
        )


@dataclass(frozen=True, kw_only=True)
class FolderData(ABC):
    """What all labelled folders have in common.

    Args:
        root: the folder of the data set.
        unlabelled: what an image without a label is: an ``error`` or ``background``.
        val_fraction, test_fraction: of the images without an official split, in [0, 1).
        shard_count: tar files per split, 1..1000.
        max_rejected: how many images and boxes may be dropped before preparing fails.

    Raises:
        ValueError: a value outside what is allowed.
    """

    root: str
    unlabelled: Unlabelled
    val_fraction: float
    test_fraction: float
    shard_count: int
    max_rejected: int

    def __post_init__(self) -> None:
        check_limits(
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            shard_count=self.shard_count,
            max_rejected=self.max_rejected,
        )

    @abstractmethod
    def source(self, seed: int) -> Source:
        """Return the source; only a generator uses ``seed``. Raises SourceError when the folder is not as expected."""


@dataclass(frozen=True, kw_only=True)
class VocData(FolderData):
    """Pascal VOC; see :class:`pindet.data.voc.VocSource`.

    Args:
        classes: allowed class names; every name found, sorted, when None.
        difficult: ``keep`` or ``drop`` boxes marked as difficult.
    """

    classes: list[str] | None
    difficult: Literal["keep", "drop"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None:
            check_class_names(self.classes, "data.classes")

    def source(self, seed: int) -> Source:  # noqa: ARG002
        """Return the source."""
        return VocSource(Path(self.root), self.classes, self.unlabelled, self.difficult)


@dataclass(frozen=True, kw_only=True)
class CocoData(FolderData):
    """COCO JSON; see :class:`pindet.data.coco.CocoSource`."""

    def source(self, seed: int) -> Source:  # noqa: ARG002
        """Return the source."""
        return CocoSource(Path(self.root), self.unlabelled)


@dataclass(frozen=True, kw_only=True)
class YoloData(FolderData):
    """YOLO txt; see :class:`pindet.data.yolo.YoloSource`."""

    def source(self, seed: int) -> Source:  # noqa: ARG002
        """Return the source."""
        return YoloSource(Path(self.root), self.unlabelled)
