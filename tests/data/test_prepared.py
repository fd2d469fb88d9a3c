"""Reading prepared data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pindet_serve.images import decode_image

from pindet.data.prepare import prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.voc import VocSource


@pytest.fixture
def prepared(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> Path:
    writers["voc"](tmp_path / "in", samples, classes)
    options: dict[str, Any] = {"val_fraction": 0.2, "test_fraction": 0.2, "shard_count": 3, "max_rejected": 0}
    prepare(VocSource(tmp_path / "in"), tmp_path / "out", seed=0, **options)
    return tmp_path / "out"


def test_images_boxes_and_labels(prepared: Path, tmp_path: Path, classes: Any) -> None:
    split = PreparedSplit(prepared, "train")
    assert split.classes == classes
    assert split.names == ["a b.png", "nested/é.PNG"]
    assert len(split) == 2
    assert split.boxes(0).tolist() == [[1, 2, 30, 40], [5.5, 6, 10, 12]]
    assert split.boxes(1).tolist() == [[0, 0, 64, 48]]
    assert [classes[i] for i in split.labels(0)] == ["no", "人"]
    assert (split.boxes(0).dtype, split.labels(0).dtype) == (np.float32, np.int64)
    for i, name in enumerate(split.names):
        stored = (tmp_path / "in/JPEGImages" / name).read_bytes()
        assert split.data(i) == stored
        assert np.array_equal(split.image(i), decode_image(stored))


def test_labels_follow_the_coco_annotations(prepared: Path) -> None:
    split = PreparedSplit(prepared, "train")
    data = split.coco()
    for i, image in enumerate(data["images"]):
        own = [a for a in data["annotations"] if a["image_id"] == image["id"]]
        assert image["file_name"] == split.names[i]
        assert [a["category_id"] - 1 for a in own] == split.labels(i).tolist()
    data["images"].clear()
    assert len(split.coco()["images"]) == 2


def test_an_image_without_boxes(prepared: Path) -> None:
    split = PreparedSplit(prepared, "test")
    assert split.boxes(0).shape == (0, 4)
    assert split.labels(0).shape == (0,)


def test_changing_what_was_returned_changes_nothing(prepared: Path) -> None:
    split = PreparedSplit(prepared, "train")
    split.boxes(0)[:] = 7
    split.labels(0)[:] = 7
    assert split.boxes(0)[0].tolist() == [1, 2, 30, 40]
    assert split.labels(0).tolist() != [7, 7]


def test_it_can_be_sent_to_a_worker(prepared: Path) -> None:
    split = PreparedSplit(prepared, "train")
    split.image(0)
    copy = pickle.loads(pickle.dumps(split))
    assert np.array_equal(copy.image(1), split.image(1))


def test_beyond_the_end(prepared: Path) -> None:
    split = PreparedSplit(prepared, "val")
    for read in (split.boxes, split.labels, split.image):
        with pytest.raises(IndexError):
            read(1)
    last = PreparedSplit(prepared, "train")
    assert last.boxes(-1).tolist() == last.boxes(1).tolist() == [[0, 0, 64, 48]]


def test_no_prepared_data(prepared: Path) -> None:
    with pytest.raises(ValueError, match=r"training.*is missing; allowed.*dvc repro prepare"):
        PreparedSplit(prepared, "training")
