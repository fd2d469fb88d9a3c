"""What params.yaml says about the data, checked and turned into a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import pindet.data.parts
from pindet.data.records import Item, Reason, Rejection, SourceError
from pindet.params import Params, ParamsError

FOLDER: dict[str, Any] = {
    "unlabelled": "error",
    "val_fraction": 0.1,
    "test_fraction": 0.1,
    "shard_count": 2,
    "max_rejected": 0,
}
EXTRA: dict[str, dict[str, Any]] = {"Voc": {"classes": None, "difficult": "keep"}, "Coco": {}, "Yolo": {}}
PARTS: dict[str, Any] = {
    "_target_": "pindet.data.settings.PartsData",
    "root": str(Path(pindet.data.parts.__file__).parent),
    "train_images": 2,
    "val_images": 1,
    "test_images": 1,
    "image_height": 128,
    "image_width": 128,
    "max_objects": 2,
    "empty_fraction": 0.0,
    "shard_count": 1,
}


def built(values: dict[str, Any]) -> Any:
    return Params(OmegaConf.create({"data": values})).build("data")


def folder(kind: str, root: Path, **changed: Any) -> dict[str, Any]:
    return {"_target_": f"pindet.data.settings.{kind}Data", "root": str(root)} | FOLDER | EXTRA[kind] | changed


@pytest.mark.parametrize("kind", sorted(EXTRA))
def test_folders(tmp_path: Path, writers: Any, samples: Any, classes: Any, kind: str) -> None:
    writers[kind.lower()](tmp_path, samples, classes)
    data = built(folder(kind, tmp_path))
    assert data.source(0).classes == classes
    assert len([r for r in data.source(0).read() if isinstance(r, Item)]) == len(samples)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val_fraction": 2}, "data.val_fraction is 2; 0 to below 1 is allowed"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "data.test_fraction is 0.5; 0 to below 1 less data.val_fraction"),
        ({"shard_count": 0}, "data.shard_count is 0; 1 to 1000 is allowed"),
        ({"max_rejected": -1}, "data.max_rejected is -1; at least 0 is allowed"),
        ({"classes": ["a", "a"]}, "data.classes is .*; one or more distinct names"),
        ({"classes": [" "]}, "data.classes is .*; one or more distinct names"),
    ],
)
def test_a_value_outside_what_is_allowed_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        built(folder("Voc", tmp_path, **changed))


def test_classes_that_nothing_names(tmp_path: Path, make_picture: Any) -> None:
    make_picture(tmp_path / "JPEGImages" / "a.png", 0)
    changed = {"classes": ["a"], "unlabelled": "background"}
    for key in changed:  # either alone leaves a folder without labels one that is not understood
        with pytest.raises(SourceError, match=r"no Annotations/\*\.xml in"):
            built(folder("Voc", tmp_path, **{key: changed[key]})).source(0)
    items = list(built(folder("Voc", tmp_path, **changed)).source(0).read())
    assert [item.boxes for item in items] == [[]]


@pytest.mark.parametrize("kind", sorted(EXTRA))
def test_unlabelled_is_read(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, make_picture: Any, kind: str
) -> None:
    writers[kind.lower()](tmp_path, samples, classes)
    make_picture(tmp_path / {"Voc": "JPEGImages", "Coco": "images", "Yolo": "images"}[kind] / "more.png", 77)
    with pytest.raises(SourceError, match="without a label"):
        list(built(folder(kind, tmp_path)).source(0).read())
    items = list(built(folder(kind, tmp_path, unlabelled="background")).source(0).read())
    assert len(items) == len(samples) + 1


@pytest.mark.parametrize("kind", sorted(EXTRA))
def test_a_root_that_is_not_there_or_empty(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"nowhere' does not exist; expected is a folder with .*/.*data\.root"):
        built(folder(kind, tmp_path / "nowhere")).source(0)
    with pytest.raises(SourceError, match="is empty; expected are"):
        built(folder(kind, tmp_path)).source(0)


@pytest.mark.parametrize("kind", sorted(EXTRA))
def test_a_root_of_something_else(tmp_path: Path, kind: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    wanted = r"no (Annotations/\*\.xml|JSON|.*data\.yaml).*seen there: notes\.txt; (expected|correct)"
    with pytest.raises(SourceError, match=wanted):
        list(built(folder(kind, tmp_path)).source(0).read())


def test_classes_and_difficult_of_voc(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path, samples, classes)
    source = built(folder("Voc", tmp_path, classes=["no", "on", "1e3"])).source(0)
    assert source.classes == ["no", "on", "1e3"]
    label = tmp_path / "Annotations" / "a b.xml"
    label.write_text(label.read_text("utf-8").replace("</name>", "</name><difficult>1</difficult>", 1), "utf-8")
    for difficult, action, left in (("keep", "kept", 2), ("drop", "excluded", 1)):
        records = list(built(folder("Voc", tmp_path, difficult=difficult)).source(0).read())
        found = [r for r in records if isinstance(r, Rejection)]
        assert [(r.item, r.reason, r.action) for r in found] == [("a b.png", Reason.DIFFICULT, action)]
        assert [len(r.boxes) for r in records if isinstance(r, Item) and r.name == "a b.png"] == [left]


def test_parts() -> None:
    data = built(PARTS)
    assert [r.split for r in data.source(3).read()] == ["train", "train", "val", "test"]
    assert (data.val_fraction, data.test_fraction, data.max_rejected) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train_images", 3),
        ("val_images", 2),
        ("test_images", 2),
        ("image_height", 144),
        ("image_width", 144),
        ("max_objects", 40),
        ("empty_fraction", 1.0),
    ],
)
def test_each_key_of_parts_changes_the_data(key: str, value: Any) -> None:
    def data(values: dict[str, Any]) -> list[bytes]:
        return [item.read() for item in built(values).source(0).read()]

    assert data(PARTS | {key: value}) != data(PARTS)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [("Voc", "classes", [False]), ("Coco", "unlabelled", "ignore"), ("Yolo", "shard_count", "2")],
)
def test_wrong_types_name_the_key(tmp_path: Path, kind: str, key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=rf"data\.{key}"):
        built(folder(kind, tmp_path, **{key: value}))
