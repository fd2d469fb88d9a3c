"""The generator as a source: so many images a split, each rendered when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from pindet.data.parts.scene import render
from pindet.data.parts.shapes import SHAPES
from pindet.data.records import SPLITS, Item, RawBox, Rejection, SourceError


class PartsSource:
    """Rendered machine parts; an image depends on the seed, its split and its number, and on the options.

    Args:
        root: the folder of this code. The pipeline tracks it, so a change of the code renders anew.
        seed: 0 or more.
        images: how many images each of train, val and test has.
        image_height, image_width: in pixels, 128..2048.
        max_objects: parts in the fullest image, 1..60.
        empty_fraction: share of images without a part, 0..1.

    Raises:
        SourceError: a value is not as allowed, or ``root`` does not hold the code that is running.
    """

    def __init__(
        self,
        root: Path,
        *,
        seed: int,
        images: Mapping[str, int],
        image_height: int,
        image_width: int,
        max_objects: int,
        empty_fraction: float,
    ) -> None:
        _check_root(root)
        _check_range("seed", seed, 0, 2**63)
        check_values(
            images, image_height=image_height, image_width=image_width, max_objects=max_objects,
            empty_fraction=empty_fraction,
        )  # fmt: skip
        self._seed = seed
        self._images = dict(images)
        self._render = partial(
            render, height=image_height, width=image_width, max_objects=max_objects, empty_fraction=empty_fraction
        )

    @property
    def classes(self) -> list[str]:
        """Class names, sorted."""
        return list(SHAPES)

    def __len__(self) -> int:
        """Return the number of images."""
        return sum(self._images.values())

    def read(self) -> Iterator[Item | Rejection]:
        """Render one image after the other; test comes last, so that more training data change no other image."""
        for number, split in enumerate(SPLITS):
            for i in range(self._images[split]):
                data, boxes = self.image(number, i)
                yield Item(f"{split}-{i:05d}.jpg", partial(bytes, data), boxes, split)

    def image(self, split: int, i: int) -> tuple[bytes, list[RawBox]]:
        """Render image ``i`` of the split with that position in :data:`SPLITS`."""
        return self._render(np.random.default_rng([self._seed, split, i]))


def check_values(
    images: Mapping[str, int], *, image_height: int, image_width: int, max_objects: int, empty_fraction: float
) -> None:
    """Raise SourceError for a value of :class:`PartsSource` that is not allowed."""
    for split in SPLITS:
        _check_range(f"data.{split}_images", images[split], int(split == "train"), 1_000_000)
    _check_range("data.image_height", image_height, 128, 2048)
    _check_range("data.image_width", image_width, 128, 2048)
    _check_range("data.max_objects", max_objects, 1, 60)
    _check_range("data.empty_fraction", empty_fraction, 0, 1)


def _check_root(root: Path) -> None:
    """The dependency that the pipeline tracks has to be the code that renders, here or in a copy of the project."""
    here = Path(__file__).parent
    for path in sorted(here.glob("*.py")):
        other = root / path.name
        if not other.is_file() or other.read_bytes() != path.read_bytes():
            raise SourceError(
                f"data.root is {str(root)!r}, where {path.name} is not the one that runs ({path}); allowed is the "
                "folder of the generator's code; set data.root to src/pindet/data/parts"
            )


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SourceError(f"{name}={value}; allowed is {low}..{high}; change it")
