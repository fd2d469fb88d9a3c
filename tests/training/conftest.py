"""Small prepared data: coloured rectangles on noise, which a small model learns in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.records import Item, RawBox, Rejection
from pindet.models.pindet import Pindet
from pindet.training.augmentation import Augmentation
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings

COLOURS = {"blue": (30, 30, 220), "red": (220, 30, 30)}
STILL: dict[str, float] = {
    "horizontal_flip": 0.0,
    "vertical_flip": 0.0,
    "scale": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "visible": 0.3,
}
LIVELY = STILL | {"horizontal_flip": 0.5, "vertical_flip": 0.5, "scale": 0.2, "brightness": 0.2, "hue": 0.02}


class Rectangles:
    """Two rectangles an image; train, val and test images are given by name."""

    def __init__(self, folder: Path, counts: dict[str, int]) -> None:
        self._folder = folder
        self._counts = counts

    @property
    def classes(self) -> list[str]:
        return list(COLOURS)

    def read(self) -> Iterator[Item | Rejection]:
        for split, count in self._counts.items():
            for number in range(count):
                yield self._item(split, number)

    def _item(self, split: str, number: int) -> Item:
        rng = np.random.default_rng([len(split), number])
        pixels = rng.integers(90, 140, (48, 64, 3), np.uint8)
        boxes = []
        for position, (name, colour) in enumerate(COLOURS.items()):
            width, height = rng.integers(12, 26, 2)
            x, y = 32 * position + rng.integers(0, 32 - width), rng.integers(0, 48 - height)
            pixels[y : y + height, x : x + width] = colour
            boxes.append(RawBox(name, float(x), float(y), float(x + width), float(y + height)))
        path = self._folder / f"{split}-{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return Item(path.name, path.read_bytes, boxes, split)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of 6 training and 4 validation images."""
    folder = tmp_path_factory.mktemp("rectangles")
    source = Rectangles(folder / "raw", {"train": 6, "val": 4, "test": 1})
    options = {"seed": 0, "val_fraction": 0.1, "test_fraction": 0.1, "shard_count": 2, "max_rejected": 0}
    prepare(source, folder / "prepared", **options)  # type: ignore[arg-type]
    return folder / "prepared"


@pytest.fixture
def splits(prepared: Path) -> tuple[PreparedSplit, PreparedSplit]:
    """Training and validation split."""
    return PreparedSplit(prepared, "train"), PreparedSplit(prepared, "val")


@pytest.fixture(scope="session")
def model() -> Callable[..., Pindet]:
    """Builds a tiny model of two classes."""

    def build(**replaced: Any) -> Pindet:
        arguments: dict[str, Any] = {
            "image_height": 64,
            "image_width": 64,
            "num_classes": 2,
            "backbone": "test_efficientnet",
            "backbone_weights": "none",
            "neck_channels": 16,
            "neck_blocks": 1,
            "head_blocks": 1,
            "distance_bins": 8,
        }
        return Pindet(**(arguments | replaced))

    return build


@pytest.fixture(scope="session")
def settings() -> Callable[..., TrainingSettings]:
    """Builds settings of a short training, with values replaced; ``augmentation`` by its own values."""

    def build(augmentation: dict[str, float] | None = None, **replaced: Any) -> TrainingSettings:
        values: dict[str, Any] = {
            "epochs": 3,
            "batch_size": 2,
            "lr": 0.005,
            "weight_decay": 0.01,
            "warmup": 0.1,
            "precision": "fp32",
            "channels_last": True,
            "compile": False,
            "frozen_stages": 0,
            "ema_decay": 0.9,
            "max_gradient_norm": 10.0,
            "validate_every": 1,
            "patience": 0,
        }
        changes = LIVELY if augmentation is None else STILL | augmentation
        return TrainingSettings(**(values | replaced), augmentation=Augmentation(**changes))

    return build


@pytest.fixture
def runtime() -> Runtime:
    """The CPU, without workers."""
    return Runtime(accelerator="cpu", devices=1, workers=0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny convolutions are faster on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
