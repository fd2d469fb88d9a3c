"""Read prepared data: one split, image by image, in the order of its COCO annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pindet_serve.images import Image, decode_image


class PreparedSplit:
    """One split of prepared data; image ``i`` is the COCO image of id ``i + 1``.

    The index is read once; image bytes are read when asked for, and no file stays open, so an instance can be
    pickled and shared by worker processes.

    Args:
        root: the folder that :func:`pindet.data.prepare.prepare` wrote.
        split: ``train``, ``val`` or ``test``.

    Attributes:
        classes: class names in label order.
        names: image names, sorted.

    Raises:
        ValueError: ``root`` holds no such split.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.root = root
        self.split = split
        self._folder = root / split
        index = self._json("index.json")
        data = self.coco()
        self.classes: list[str] = [category["name"] for category in data["categories"]]
        self.names: list[str] = [image["file_name"] for image in data["images"]]
        self._places = [(str(p["shard"]), int(p["offset"]), int(p["size"])) for p in map(index.__getitem__, self.names)]
        self._boxes, self._labels, self._starts = _arrays(data)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.names)

    def data(self, i: int) -> bytes:
        """Return the stored file (an 8-bit RGB or grey JPEG or PNG) of image ``i``."""
        shard, offset, size = self._places[i]
        with (self._folder / shard).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def image(self, i: int) -> Image:
        """Return image ``i``: uint8 ``[H, W, 3]`` RGB."""
        return decode_image(self.data(i))

    def boxes(self, i: int) -> NDArray[np.float32]:
        """Return the boxes of image ``i``: float32 ``[N, 4]``, ``x1, y1, x2, y2`` in pixels."""
        return self._boxes[self._of(i)].copy()

    def labels(self, i: int) -> NDArray[np.int64]:
        """Return the labels of image ``i``: int64 ``[N]``, positions in ``classes`` (COCO ``category_id`` - 1)."""
        return self._labels[self._of(i)].copy()

    def coco(self) -> dict[str, Any]:
        """Return the COCO instances of the split, a new ``dict`` at each call."""
        return self._json("annotations.json")

    def _of(self, i: int) -> slice:
        i = range(len(self))[i]  # refuses what lies beyond the end, takes -1 as the last
        return slice(int(self._starts[i]), int(self._starts[i + 1]))

    def _json(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        if not path.is_file():
            raise ValueError(
                f"no prepared data: {path} is missing; allowed is a folder with train, val and test; "
                "run the prepare stage (`dvc repro prepare`) or `dvc pull`"
            )
        loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return loaded


def _arrays(data: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Boxes ``[B, 4]`` and labels ``[B]`` of all images in their order, and where each image starts ``[N + 1]``."""
    annotations = sorted(data["annotations"], key=lambda a: (a["image_id"], a["id"]))
    xywh = np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)
    labels = np.array([a["category_id"] - 1 for a in annotations], np.int64)
    owners = np.array([a["image_id"] for a in annotations], np.int64)
    starts = np.searchsorted(owners, np.arange(1, len(data["images"]) + 2)).astype(np.int64)
    return boxes, labels, starts
