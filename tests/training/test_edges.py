"""Data at the edge of what can be trained on: little, empty, lopsided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.records import Item, RawBox, Rejection
from pindet.evaluation.metrics import coco_metrics
from pindet.models.pindet import Pindet
from pindet.models.postprocess import Postprocess
from pindet.models.predictor import Predictor
from pindet.training.runtime import Runtime
from pindet.training.settings import TrainingSettings
from pindet.training.train import TrainingResult, train

Drawn = dict[str, list[list[str]]]
"""For each split, for each image, the classes of its objects."""
Fit = Callable[..., tuple[TrainingResult, dict[str, PreparedSplit]]]


class Drawings:
    """Images with the objects that a test wants, of classes that it names."""

    def __init__(self, folder: Path, classes: list[str], drawn: Drawn) -> None:
        self._folder = folder
        self._drawn = drawn
        self.classes = classes

    def read(self) -> Iterator[Item | Rejection]:
        for split, images in self._drawn.items():
            for number, labels in enumerate(images):
                rng = np.random.default_rng([len(split), number])
                pixels = rng.integers(90, 140, (48, 64, 3), np.uint8)
                boxes = []
                for position, label in enumerate(labels):
                    x, y = 4 + 30 * position, 10
                    pixels[y : y + 20, x : x + 20] = 250 if label == self.classes[0] else 5
                    boxes.append(RawBox(label, x, y, x + 20, y + 20))
                path = self._folder / f"{split}-{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
                yield Item(path.name, path.read_bytes, boxes, split)


@pytest.fixture
def fit(
    tmp_path: Path, model: Callable[..., Pindet], settings: Callable[..., TrainingSettings], runtime: Runtime
) -> Fit:
    """Prepares drawings and trains on them; gives the result and the splits."""

    def run(classes: list[str], drawn: Drawn, **replaced: object) -> tuple[TrainingResult, dict[str, PreparedSplit]]:
        options = {"seed": 0, "val_fraction": 0.1, "test_fraction": 0.1, "shard_count": 1, "max_rejected": 0}
        prepare(Drawings(tmp_path / "raw", classes, drawn), tmp_path / "prepared", **options)  # type: ignore[arg-type]
        splits = {name: PreparedSplit(tmp_path / "prepared", name) for name in ("train", "val", "test")}
        made = model(num_classes=len(classes))
        result = train(
            made, settings(**replaced), splits["train"], splits["val"], seed=0, runtime=runtime, resume=tmp_path / "r"
        )
        made.load_state_dict(result.state_dict)
        predict = Predictor(made, Postprocess(nms_iou_threshold=0.6, max_detections=50))
        for split in splits.values():
            found = predict([split.image(i) for i in range(len(split))])
            assert len(found) == len(split)
            coco_metrics(split, found)  # defined or absent, never an error
        losses = [row["train/loss"] for row in result.history]
        assert all(loss is not None and math.isfinite(loss) for loss in losses)
        return result, splits

    return run


def test_images_without_objects_are_trained_on(fit: Fit) -> None:
    drawn = {"train": [["a"], [], ["a"], []], "val": [["a"], []], "test": [["a"]]}
    result, _ = fit(["a"], drawn, batch_size=1)  # every batch is one image, half of them empty
    assert result.history[-1]["val/map"] is not None


def test_data_without_any_object_are_trained_on_and_have_no_map(fit: Fit) -> None:
    result, splits = fit(["a", "b"], {"train": [[], [], []], "val": [[]], "test": [[]]})
    assert [row["val/map"] for row in result.history] == [None] * 3
    assert splits["train"].classes == ["a", "b"]
    assert result.state_dict  # the last epoch's, where none is better


def test_one_image_of_one_class(fit: Fit) -> None:
    result, splits = fit(["only"], {"train": [["only"]], "val": [["only"]], "test": [["only"]]}, batch_size=1)
    assert (len(splits["train"]), splits["train"].classes) == (1, ["only"])
    assert len(result.history) == 3


def test_a_batch_larger_than_the_data_holds_all_of_them(fit: Fit) -> None:
    drawn = {"train": [["a"], ["b"], ["a", "b"]], "val": [["a"]], "test": [["b"]]}
    result, _ = fit(["a", "b"], drawn, batch_size=64)
    assert len(result.history) == 3


@pytest.mark.parametrize("absent_from", ["train", "test"])
def test_a_class_may_be_absent_from_a_split(fit: Fit, absent_from: str) -> None:
    drawn: Drawn = {name: [["a", "b"], ["a"]] for name in ("train", "val", "test")}
    drawn[absent_from] = [["a"], ["a"]]
    result, splits = fit(["a", "b"], drawn)
    assert splits[absent_from].classes == ["a", "b"]
    assert result.history[-1]["val/map"] is not None
