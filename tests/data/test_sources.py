"""Defects of the sources: each has its outcome, none is silent."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pindet.data.coco import CocoSource
from pindet.data.records import Item, Reason, Rejection, SourceError
from pindet.data.voc import VocSource
from pindet.data.yolo import YoloSource

SOURCES: dict[str, Any] = {"voc": VocSource, "coco": CocoSource, "yolo": YoloSource}
FOLDERS = {"voc": "JPEGImages", "coco": "images/train", "yolo": "images/train"}


@pytest.fixture(params=sorted(SOURCES))
def made(request: Any, tmp_path: Path, writers: Any, samples: Any, classes: Any) -> tuple[str, Path]:
    writers[request.param](tmp_path, samples, classes)
    return request.param, tmp_path


def reasons(source: Any) -> list[tuple[Reason, str]]:
    return [(r.reason, r.action) for r in source.read() if isinstance(r, Rejection)]


def edit_first_coco_box(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = root / "annotations/instances_train.json"
    data = json.loads(path.read_text("utf-8"))
    change(data["annotations"][0])
    path.write_text(json.dumps(data), "utf-8")


def test_names_splits_and_classes_survive(made: Any, samples: Any, classes: Any) -> None:
    source = SOURCES[made[0]](made[1])
    items = [r for r in source.read() if isinstance(r, Item)]
    assert {(i.split, i.name, len(i.boxes)) for i in items} == {(s, n, len(b)) for s, n, b in samples}
    assert source.classes == classes
    assert reasons(source) == []


def test_image_without_label(made: Any, make_picture: Any) -> None:
    make_picture(made[1] / FOLDERS[made[0]] / "extra.png", 99)
    make_picture(made[1] / FOLDERS[made[0]] / "more.png", 98)
    with pytest.raises(SourceError, match=r"extra.*more.*\(2 in all\).*`-S data\.unlabelled=background`"):
        list(SOURCES[made[0]](made[1]).read())
    items = list(SOURCES[made[0]](made[1], unlabelled="background").read())
    assert [i.boxes for i in items if isinstance(i, Item) and i.name == "extra.png"] == [[]]


def test_label_without_image(made: Any) -> None:
    (made[1] / FOLDERS[made[0]] / "a b.png").unlink()
    assert reasons(SOURCES[made[0]](made[1])) == [(Reason.MISSING_IMAGE, "dropped")]


def test_unknown_class(made: Any) -> None:
    kind, root = made
    if kind == "voc":
        source: Any = VocSource(root, classes=["on", "1e3", "no"])
        place, known = "Annotations/a b.xml object 2: class '人'", "is not one of on, 1e3, no"
    elif kind == "yolo":
        (root / "labels/train/a b.txt").write_text("0 0.5 0.5 0.1 0.1\n\n4 0.5 0.5 0.1 0.1\n")
        source = YoloSource(root)
        place, known = "labels/train/a b.txt line 3: class 4", "is not in 0..3 (1e3, no, on, 人)"
    else:
        edit_first_coco_box(root, lambda box: box.update(category_id=1, id=8))
        source = CocoSource(root)
        place = "annotations/instances_train.json annotation 8: category id 1"
        known = "is not one of 0 (1e3), 7 (no), 14 (on), 21 (人)"
    found = [r for r in source.read() if isinstance(r, Rejection)]
    assert [(r.item, r.reason, r.action) for r in found] == [("a b.png", Reason.UNKNOWN_CLASS, "dropped")]
    assert [r.detail for r in found] == [f"{place} {known}"]


def test_of_many_known_classes_the_first_are_named(tmp_path: Path, writers: Any) -> None:
    names = [f"c{i:02d}" for i in range(30)]
    writers["yolo"](tmp_path, [("train", "a.png", [("c29", 1, 1, 5, 5)])], names)
    (tmp_path / "data.yaml").write_text(json.dumps({"names": names[:20]}))
    found = [r.detail for r in YoloSource(tmp_path).read() if isinstance(r, Rejection)]
    listed = "c00, c01, c02, c03, c04, c05, c06, c07, …"
    assert found == [f"labels/train/a.txt line 1: class 29 is not in 0..19 ({listed})"]


@pytest.mark.parametrize(
    ("line", "wrong"), [("0 0.5 0.5 0.1 0.1 0.9", "6 values"), ("0 0.5 0.5 x 0.1", "could not convert.*'x'")]
)
def test_a_line_of_yolo_that_is_no_box_is_named(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, line: str, wrong: str
) -> None:
    writers["yolo"](tmp_path, samples, classes)
    (tmp_path / "labels/train/a b.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    found = [r.detail for r in YoloSource(tmp_path).read() if isinstance(r, Rejection)]
    assert len(found) == 1
    assert re.match(rf"labels/train/a b\.txt: line 2: '{line}' is not 'class cx cy w h' \({wrong}", found[0])


def test_no_object_has_a_name(tmp_path: Path, writers: Any) -> None:
    writers["voc"](tmp_path, [("train", "a.png", []), ("val", "b.png", [])], [])
    with pytest.raises(SourceError, match=r"none of the 2 Annotations/\*\.xml in .* has an object with a name"):
        VocSource(tmp_path)


@pytest.mark.parametrize("names", ["[no, a]", "{0: a, 1: on}", "[1, a]"])
def test_yaml_names_that_are_no_strings(tmp_path: Path, names: str) -> None:
    (tmp_path / "data.yaml").write_text(f"names: {names}")
    with pytest.raises(SourceError, match="put it in quotes"):
        YoloSource(tmp_path)


@pytest.mark.parametrize(("change", "reason"), [({"iscrowd": 1}, Reason.CROWD), ({"bbox": [1, 2]}, Reason.UNREADABLE)])
def test_coco_boxes_that_are_none(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, change: Any, reason: Reason
) -> None:
    writers["coco"](tmp_path, samples, classes)
    edit_first_coco_box(tmp_path, lambda box: box.update(change))
    assert reasons(CocoSource(tmp_path)) == [(reason, "dropped")]


def test_coco_path_that_leaves_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    data = {"images": [{"id": 1, "file_name": "../x.png"}], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "annotations/all.json").write_text(json.dumps(data))
    with pytest.raises(SourceError, match="leaves the dataset"):
        list(CocoSource(tmp_path).read())


@pytest.mark.parametrize(("kind", "label"), [("voc", "Annotations/a b.xml"), ("yolo", "labels/train/a b.txt")])
def test_label_that_cannot_be_parsed(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, kind: str, label: str
) -> None:
    writers[kind](tmp_path, samples, classes)
    (tmp_path / label).write_text("<annotation>0 1")
    assert reasons(SOURCES[kind](tmp_path)) == [(Reason.UNREADABLE, "dropped")]


def test_voc_object_without_a_name(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path, samples, classes)
    label = tmp_path / "Annotations/a b.xml"
    label.write_text(label.read_text("utf-8").replace("<name>no</name>", "<name> </name>"), "utf-8")
    source = VocSource(tmp_path)
    assert source.classes == ["1e3", "on", "人"]
    assert reasons(source) == [(Reason.UNKNOWN_CLASS, "dropped")]


def test_listed_in_two_splits(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path, samples, classes)
    (tmp_path / "ImageSets/Main/train.txt").write_text("empty\n")
    records = list(VocSource(tmp_path).read())
    assert [r.item for r in records if isinstance(r, Rejection) and r.reason == Reason.LEAK] == ["empty"]
    assert [r.split for r in records if isinstance(r, Item) and r.name == "empty.png"] == ["test"]


@pytest.mark.parametrize("folder", ["valid", "validation"])
def test_yolo_folders_named_valid_are_val(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, folder: str
) -> None:
    writers["yolo"](tmp_path, samples, classes)
    (tmp_path / "images/val").rename(tmp_path / "images" / folder)
    (tmp_path / "labels/val").rename(tmp_path / "labels" / folder)
    items = [r for r in YoloSource(tmp_path).read() if isinstance(r, Item)]
    assert [(i.name, i.split) for i in items if i.name.startswith("图")] == [("图.JPG", "val")]


@pytest.mark.parametrize(("key", "reason"), [("image_id", Reason.MISSING_IMAGE), ("category_id", Reason.UNKNOWN_CLASS)])
def test_coco_annotation_without_an_id(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, key: str, reason: Reason
) -> None:
    writers["coco"](tmp_path, samples, classes)
    edit_first_coco_box(tmp_path, lambda box: box.pop(key))
    assert reasons(CocoSource(tmp_path)) == [(reason, "dropped")]


NFC, NFD = "é", "e\N{COMBINING ACUTE ACCENT}"


@pytest.mark.parametrize(("image", "label"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_names_match_however_they_are_composed(
    made: Any, samples: Any, image: str, label: str
) -> None:
    kind, root = made
    folder = root / FOLDERS[kind] / "nested"
    (folder / f"{NFC}.PNG").rename(folder / f"{image}.PNG")
    if kind == "coco":
        path = root / "annotations/instances_train.json"
        data = json.loads(path.read_text("utf-8"))
        data["images"][1]["file_name"] = f"nested/{label}.PNG"
        path.write_text(json.dumps(data), "utf-8")
    else:
        file = next(p for p in root.rglob(f"{NFC}.*") if p.suffix in (".xml", ".txt"))
        file.rename(file.with_name(label + file.suffix))
    source = SOURCES[kind](root)
    items = [r for r in source.read() if isinstance(r, Item)]
    assert {(i.split, i.name, len(i.boxes)) for i in items} == {(s, n, len(b)) for s, n, b in samples}


def test_class_names_are_one_however_they_are_composed(tmp_path: Path, writers: Any) -> None:
    boxes = [(NFC, 1, 1, 5, 5), (NFD, 6, 6, 9, 9)]
    writers["voc"](tmp_path, [("train", "a.png", boxes)], [])
    source = VocSource(tmp_path)
    assert source.classes == [NFC]
    assert [[b.label for b in r.boxes] for r in source.read() if isinstance(r, Item)] == [[NFC, NFC]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["categories"][0].pop("id"), "class id None"),
        (lambda data: data["categories"][0].update(id=data["categories"][1]["id"]), "no number of its own"),
        (lambda data: data["categories"][0].update(name=False), "class name False is no string"),
        (lambda data: data["images"][0].pop("file_name"), "allowed is one with 'id' and 'file_name'"),
        (lambda data: data["images"][0].update(id=data["images"][1]["id"]), "give each image its own id"),
        (lambda data: data.pop("images"), "lacks 'images' or 'categories'"),
        (lambda data: data.update(images=None), "'images' is no list of objects"),
        (lambda data: data.update(categories=["a"]), "'categories' is no list of objects"),
        (lambda data: data.update(annotations=[3]), "'annotations' is no list of objects"),
        (lambda data: data["annotations"][0].update(image_id=[1]), "its ids are no numbers"),
        (lambda data: data["images"][0].update(id={}), "allowed is one with 'id' and 'file_name'"),
    ],
)
def test_coco_files_that_are_wrong(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, change: Any, message: str
) -> None:
    writers["coco"](tmp_path, samples, classes)
    path = tmp_path / "annotations/instances_train.json"
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(SourceError, match=message):
        CocoSource(tmp_path)


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    for kind, folder in (("voc", "JPEGImages"), ("coco", "images/train"), ("yolo", "images/train")):
        writers[kind](tmp_path / kind, samples, classes)
        old = os.fsencode(tmp_path / kind / folder) + b"/\xff\xfe.png"
        Path(os.fsdecode(old)).write_bytes(b"")
        with pytest.raises(SourceError, match=r"the name .*udcff.* is not UTF-8; rename the file"):
            list(SOURCES[kind](tmp_path / kind).read())


def test_a_list_that_is_not_utf8_is_named(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path, samples, classes)
    (tmp_path / "ImageSets/Main/train.txt").write_bytes("Küche".encode("latin-1"))
    with pytest.raises(SourceError, match=r"train\.txt is not UTF-8 .* at byte 1\); save it as UTF-8"):
        list(VocSource(tmp_path).read())


def test_sources_say_how_many_items_to_expect(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, make_picture: Any
) -> None:
    for kind in ("voc", "coco"):
        root = tmp_path / kind
        writers[kind](root, samples, classes)
        assert len(SOURCES[kind](root)) == len(samples)
        (root / FOLDERS[kind] / "a b.png").unlink()
        assert len(SOURCES[kind](root)) == len(samples) - 1
        for number in range(2):
            make_picture(root / FOLDERS[kind] / f"more {number}.png", number)
        source = SOURCES[kind](root, unlabelled="background")
        assert len(source) == len(samples) + 1 == sum(isinstance(r, Item) for r in source.read())


def layout(root: Path, kind: str) -> None:
    """Turn ``images/train`` with ``instances_train.json`` into another layout."""
    for split in ("train", "val", "test"):
        labels = root / f"annotations/instances_{split}.json"
        if kind == "beside":
            folder = root / {"val": "valid"}.get(split, split)
            (root / "images" / split).rename(folder)
            labels.rename(folder / "_annotations.coco.json")
        else:
            (root / "images" / split).rename(root / kind.format(split))
            labels.rename(labels.with_name(f"instances_{split}2017.json"))
            (root / f"annotations/captions_{split}2017.json").write_text('{"images": []}')


@pytest.mark.parametrize("kind", ["{}2017", "images/{}2017", "{}", "beside"])
def test_coco_layouts(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, make_picture: Any, kind: str
) -> None:
    writers["coco"](tmp_path, samples, classes)
    layout(tmp_path, kind)
    items = [r for r in CocoSource(tmp_path).read() if isinstance(r, Item)]
    assert {(i.split, i.name, len(i.boxes)) for i in items} == {(s, n, len(b)) for s, n, b in samples}
    make_picture((tmp_path / ("valid" if kind == "beside" else kind.format("val"))) / "sub" / "more.png", 55)
    with pytest.raises(SourceError, match="without a label"):
        list(CocoSource(tmp_path).read())
    items = [r for r in CocoSource(tmp_path, unlabelled="background").read() if isinstance(r, Item)]
    assert [(i.split, i.boxes) for i in items if i.name == "sub/more.png"] == [("val", [])]


def test_coco_split_without_annotations(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["coco"](tmp_path, samples, classes)
    layout(tmp_path, "{}")
    (tmp_path / "annotations/instances_val2017.json").unlink()
    with pytest.raises(SourceError, match=r"without a label: .*val/图\.JPG'"):
        list(CocoSource(tmp_path).read())
