"""The layouts in which YOLO data sets are found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pindet.data.records import Item, Reason, Rejection, SourceError
from pindet.data.yolo import YoloSource

NAMES = "names: ['1e3', 'no', 'on', '人']\n"


@pytest.fixture
def expected(samples: Any) -> set[tuple[str, str, int]]:
    return {(split, name, len(boxes)) for split, name, boxes in samples}


@pytest.fixture
def root(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> Path:
    writers["yolo"](tmp_path, samples, classes)
    return tmp_path


def read(root: Path) -> set[tuple[str | None, str, int]]:
    return {(r.split, r.name, len(r.boxes)) for r in YoloSource(root).read() if isinstance(r, Item)}


def to_split_folders(root: Path) -> None:
    """From ``images/train`` to ``train/images``."""
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        for kind in ("images", "labels"):
            (root / folder).mkdir(exist_ok=True)
            (root / kind / split).rename(root / folder / kind)
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "labels")


@pytest.mark.parametrize(
    "keys",
    [
        "train: images/train\nval: images/val\ntest: images/test\n",
        "path: .\ntrain: images/train\nval: [images/val]\ntest: images/test\n",
        "path: ../elsewhere/coco8\ntrain: images/train\nval: images/val\ntest: images/test\n",
        "",
    ],
)
def test_images_above_splits(root: Path, expected: Any, keys: str) -> None:
    (root / "data.yaml").write_text(keys + NAMES, "utf-8")
    assert read(root) == expected


@pytest.mark.parametrize(
    "keys",
    [
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n",
        "train: train/images\nval: valid/images\ntest: test/images\n",
        "train: train\nval: valid\ntest: test\n",
        "",
    ],
)
def test_splits_above_images(root: Path, expected: Any, keys: str) -> None:
    to_split_folders(root)
    (root / "data.yaml").write_text(keys + NAMES, "utf-8")
    assert read(root) == expected


def test_lists_of_images(root: Path, expected: Any, samples: Any) -> None:
    for split in ("train", "val", "test"):
        lines = [f"./images/{split}/{name}\r\n" for own, name, _ in samples if own == split]
        (root / f"{split}.txt").write_bytes("".join(lines).encode())
    (root / "data.yaml").write_text("train: train.txt\nval: val.txt\ntest: test.txt\n" + NAMES, "utf-8")
    assert read(root) == expected
    with (root / "test.txt").open("a") as file:
        file.write("./images/test/gone.png\n")
    found = [(r.item, r.reason) for r in YoloSource(root).read() if isinstance(r, Rejection)]
    assert found == [("gone.png", Reason.MISSING_IMAGE)]


def test_a_list_beyond_the_root(root: Path, make_picture: Any) -> None:
    make_picture(root.parent / "outside.png", 9)
    (root / "train.txt").write_text("../outside.png\n")
    (root / "data.yaml").write_text("train: train.txt\n" + NAMES, "utf-8")
    with pytest.raises(SourceError, match=r"'\.\./outside\.png' leaves"):
        read(root)


def test_a_split_that_is_not_there(root: Path) -> None:
    (root / "data.yaml").write_text("train: images/train\nval: images/nowhere\n" + NAMES, "utf-8")
    with pytest.raises(SourceError, match=r"data\.yaml names 'images/nowhere', which is not below"):
        YoloSource(root)


def test_a_split_that_data_yaml_leaves_out_is_not_read(root: Path) -> None:
    (root / "data.yaml").write_text("train: images/train\nval: images/val\ntest:\n" + NAMES, "utf-8")
    assert {split for split, _, _ in read(root)} == {"train", "val"}


def test_the_only_yaml_file_counts(root: Path, expected: Any) -> None:
    (root / "data.yaml").rename(root / "coins.yml")
    assert read(root) == expected
    (root / "other.yaml").write_text("a: 1")
    with pytest.raises(SourceError, match=r"coins\.yml, other\.yaml"):
        YoloSource(root)


def test_no_images_anywhere(root: Path) -> None:
    shutil.rmtree(root / "images")
    with pytest.raises(SourceError, match="no images in"):
        read(root)
