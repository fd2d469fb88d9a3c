"""A folder that was taken for another kind of data set."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pindet.data.coco import CocoSource
from pindet.data.layout import other_layout
from pindet.data.records import SourceError
from pindet.data.voc import VocSource
from pindet.data.yolo import YoloSource

SOURCES: dict[str, Any] = {"voc": VocSource, "coco": CocoSource, "yolo": YoloSource}
MISSING = {"voc": "no Annotations/*.xml in {}", "coco": "no JSON in {}/annotations", "yolo": "no {}/data.yaml"}


@pytest.mark.parametrize("kind", sorted(SOURCES))
@pytest.mark.parametrize("own", sorted(SOURCES))
def test_the_other_layout_is_named(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, kind: str, own: str
) -> None:
    writers[kind](tmp_path, samples, classes)
    if own == kind:
        assert list(SOURCES[own](tmp_path).read())
        return
    with pytest.raises(SourceError, match=re.escape(MISSING[own].format(tmp_path))) as caught:
        SOURCES[own](tmp_path)
    assert f"; this looks like data={kind}: run it with `-S data={kind}`;" in str(caught.value)


def test_images_of_yolo_are_missing(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path, samples, classes)
    (tmp_path / "data.yaml").write_text("names: [a]")
    with pytest.raises(SourceError, match=r"no images in .* looks like data=voc: run it with `-S data=voc`; expected"):
        list(YoloSource(tmp_path).read())


def no_yaml(root: Path) -> None:
    (root / "data.yaml").unlink()


def splits_above(root: Path) -> None:
    """Move ``images/train`` to ``train/images``."""
    no_yaml(root)
    for split in ("train", "val", "test"):
        (root / split).mkdir()
        for folder in ("images", "labels"):
            (root / folder / split).rename(root / split / folder)
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "labels")


def beside(root: Path) -> None:
    shutil.rmtree(root / "annotations")
    (root / "valid").mkdir()
    (root / "valid" / "_annotations.coco.json").write_text("{}")


def without_folder(root: Path) -> None:
    (root / "annotations" / "instances_train.json").rename(root / "instances_train.json")
    shutil.rmtree(root / "annotations")


def no_labels(root: Path) -> None:
    shutil.rmtree(root / "Annotations")
    (root / "Annotations").mkdir()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("yolo", no_yaml),
        ("yolo", splits_above),
        ("yolo", lambda root: (root / "data.yaml").rename(root / "data.yml")),
        ("coco", beside),
        ("coco", without_folder),
        ("voc", no_labels),
    ],
)
def test_layouts_in_all_their_forms(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, kind: str, change: Callable[[Path], object]
) -> None:
    writers[kind](tmp_path, samples, classes)
    change(tmp_path)
    for own in SOURCES.keys() - {kind}:
        assert other_layout(tmp_path, own).endswith(f"; this looks like data={kind}: run it with `-S data={kind}`")
    assert "looks like" not in other_layout(tmp_path, kind)


def test_what_is_there_is_named_shortly(tmp_path: Path) -> None:
    for name in ("a.csv", "b.json", ".git", "c", "d", "e", "f"):
        (tmp_path / name).mkdir() if len(name) == 1 else (tmp_path / name).write_text(json.dumps({}))
    assert other_layout(tmp_path, "voc") == "seen there: a.csv, b.json, c/, d/, e/, …"
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert other_layout(tmp_path, "voc") == "seen there: nothing"
