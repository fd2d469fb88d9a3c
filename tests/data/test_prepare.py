"""Prepared data as a whole: bytes, splits, leaks, limits."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tarfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from pindet.data import progress
from pindet.data.coco import CocoSource
from pindet.data.prepare import Report, TooManyRejectedError, prepare
from pindet.data.prepared import PreparedSplit
from pindet.data.records import Item, RawBox, Reason, Rejection, Source, SourceError
from pindet.data.split import split_of
from pindet.data.voc import VocSource
from pindet.data.yolo import YoloSource

SOURCES: dict[str, Any] = {"voc": VocSource, "coco": CocoSource, "yolo": YoloSource}
BCCD = Path(os.environ.get("PINDET_BCCD", Path(__file__).parents[3] / "shared" / "datasets" / "bccd"))
BOX = RawBox("a", 1, 1, 9, 9)


class Listed:
    """A source of given items."""

    classes: ClassVar[list[str]] = ["a"]

    def __init__(self, items: list[Item]) -> None:
        self._items = items

    def read(self) -> Iterator[Item | Rejection]:
        yield from self._items


def run(source: Source, output: Path, **options: Any) -> Report:
    usual = {"seed": 0, "val_fraction": 0.2, "test_fraction": 0.2, "shard_count": 2, "max_rejected": 0}
    return prepare(source, output, **usual | options)


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_three_formats_give_the_same_bytes(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    trees = []
    for kind, write in writers.items():
        write(tmp_path / kind, samples, classes)
        run(SOURCES[kind](tmp_path / kind), tmp_path / "out" / kind)
        trees.append(tree(tmp_path / "out" / kind))
    assert trees[0] == trees[1] == trees[2]
    assert len(trees[0]) == 3 * 4 + 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["coco", "voc", "yolo"]
    for split, name, _ in samples:
        prepared = PreparedSplit(tmp_path / "out/voc", split)
        assert prepared.data(prepared.names.index(name)) == (tmp_path / "voc/JPEGImages" / name).read_bytes()
    annotations = json.loads(trees[0]["train/annotations.json"])
    assert annotations["annotations"][1]["bbox"] == [5.5, 6.0, 4.5, 6.0]
    for path in (tmp_path / "out/voc").rglob("*.tar"):
        with tarfile.open(path) as tar:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in tar} <= {(0, 0, 0, "", "")}


def test_order_of_the_source_does_not_matter(tmp_path: Path, make_picture: Any) -> None:
    for i in range(6):
        make_picture(tmp_path / f"{i}.png", i)
    items = [Item(f"{i}.png", (tmp_path / f"{i}.png").read_bytes, [RawBox("a", i, 1, 9, 9)], "train") for i in range(6)]
    run(Listed(items), tmp_path / "out" / "forward")
    run(Listed(items[::-1]), tmp_path / "out" / "backward")
    assert tree(tmp_path / "out" / "forward") == tree(tmp_path / "out" / "backward")


def test_leak_is_dropped_from_train(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["yolo"](tmp_path / "in", samples, classes)
    shutil.copy(tmp_path / "in/images/test/empty.png", tmp_path / "in/images/train/a b.png")
    report = run(YoloSource(tmp_path / "in"), tmp_path / "out", max_rejected=1)
    assert [(r.item, r.reason) for r in report.rejections] == [("a b.png", Reason.LEAK)]
    assert report.images == {"train": 1, "val": 1, "test": 1}
    assert PreparedSplit(tmp_path / "out", "train").names == ["nested/é.PNG"]


def test_too_many_rejected_writes_nothing(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    samples[0][2].append(("no", 5, 5, 5, 9))
    writers["voc"](tmp_path / "in", samples, classes)
    with pytest.raises(TooManyRejectedError, match=r"dropped \(1 zero_area\)(.|\n)*a b.png: zero_area") as caught:
        run(VocSource(tmp_path / "in"), tmp_path / "out")
    assert "data.max_rejected allows 0; correct the data or set `-S data.max_rejected=1`;" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    run(VocSource(tmp_path / "in"), tmp_path / "out", max_rejected=1)


def test_all_that_was_dropped_is_in_the_traceback(tmp_path: Path, make_picture: Any) -> None:
    make_picture(tmp_path / "a.png", 0)
    boxes = [RawBox("a", i, 1, i, 9) for i in range(20)]
    with pytest.raises(TooManyRejectedError, match="20 images or boxes") as caught:
        run(Listed([Item("a.png", (tmp_path / "a.png").read_bytes, boxes, "train")]), tmp_path / "out")
    assert str(caught.value).count("zero_area: ") == 5
    assert caught.value.__notes__[0].count("zero_area: ") == 20


def test_what_a_killed_run_left_is_removed(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path / "in", samples, classes)
    (tmp_path / ".out.tmp-left" / "result").mkdir(parents=True)
    (tmp_path / ".other").mkdir()
    run(VocSource(tmp_path / "in"), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".other", "in", "out"]


def test_second_image_of_a_name(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["coco"](tmp_path / "in", samples, classes)
    path = tmp_path / "in/annotations/instances_train.json"
    data = json.loads(path.read_text("utf-8"))
    data["images"].append({**data["images"][0], "id": 50})
    path.write_text(json.dumps(data), "utf-8")
    report = run(CocoSource(tmp_path / "in"), tmp_path / "out", max_rejected=1)
    assert [(r.item, r.reason) for r in report.rejections] == [("a b.png", Reason.DUPLICATE_NAME)]


def test_split_depends_on_content_and_seed() -> None:
    digests = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(2000)]
    splits = [split_of(d, 0, 0.2, 0.1) for d in digests]
    assert abs(splits.count("val") - 400) < 80
    assert abs(splits.count("test") - 200) < 60
    assert splits != [split_of(d, 1, 0.2, 0.1) for d in digests]


def test_adding_data_moves_nothing(tmp_path: Path, make_picture: Any) -> None:
    (tmp_path / "data.yaml").write_text("names: [a]")
    places = []
    for count in (20, 40):
        for i in range(count):
            make_picture(tmp_path / "images" / f"{i:02d}.png", i)
            (tmp_path / "labels").mkdir(exist_ok=True)
            (tmp_path / "labels" / f"{i:02d}.txt").write_text("0 0.5 0.5 0.2 0.2")
        output = tmp_path / f"out{count}"
        run(YoloSource(tmp_path), output)
        indexes = {s: json.loads((output / s / "index.json").read_text()) for s in ("train", "val", "test")}
        places.append({n: (s, v["shard"]) for s, index in indexes.items() for n, v in index.items()})
    assert (len(places[0]), len(places[1])) == (20, 40)
    assert len({s for s, _ in places[1].values()}) == 3
    assert places[0].items() <= places[1].items()


@pytest.mark.skipif(not BCCD.is_dir(), reason=f"no BCCD data set at {BCCD}; set PINDET_BCCD")
def test_bccd_has_zero_area_boxes(tmp_path: Path) -> None:
    report = run(VocSource(BCCD), tmp_path / "out", max_rejected=100)
    zero = {r.item for r in report.rejections if r.reason == Reason.ZERO_AREA}
    assert zero == {"BloodImage_00338.jpg", "BloodImage_00343.jpg"}
    assert report.classes == ["Platelets", "RBC", "WBC"]
    assert all(report.images.values())


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_ten_thousand_one_pixel_objects_in_one_image(tmp_path: Path, writers: Any, kind: str) -> None:
    boxes = [("a", i % 63, i // 63 % 47, i % 63 + 1, i // 63 % 47 + 1) for i in range(10_000)]
    writers[kind](tmp_path / "in", [("train", "crowded.png", boxes)], ["a"])
    report = run(SOURCES[kind](tmp_path / "in"), tmp_path / "out")
    assert report.boxes == {"train": 10_000, "val": 0, "test": 0}
    stored = json.loads((tmp_path / "out/train/annotations.json").read_text("utf-8"))["annotations"]
    assert {(a["bbox"][2], a["bbox"][3]) for a in stored} == {(1.0, 1.0)}


def test_an_output_that_exists_is_left_alone(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    writers["voc"](tmp_path / "in", samples, classes)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(FileExistsError, match="remove it or choose another"):
        run(VocSource(tmp_path / "in"), tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"keep"}


def test_duplicates_within_a_split_are_kept_and_reported(
    tmp_path: Path, writers: Any, samples: Any, classes: Any
) -> None:
    writers["yolo"](tmp_path / "in", samples, classes)
    images, labels = tmp_path / "in/images/train", tmp_path / "in/labels/train"
    shutil.copy(images / "a b.png", images / "b.png")
    shutil.copy(labels / "a b.txt", labels / "b.txt")
    shutil.copy(images / "a b.png", images / "c.png")
    (labels / "c.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    report = run(YoloSource(tmp_path / "in"), tmp_path / "out")
    assert report.images["train"] == 4
    assert [(r.item, r.reason, r.action) for r in report.rejections] == [
        ("b.png", Reason.DUPLICATE, "kept"),
        ("c.png", Reason.DUPLICATE, "kept"),
    ]
    assert [r.detail.endswith("with other boxes") for r in report.rejections] == [False, True]


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a", ""], [" "]])
def test_class_names_are_distinct_and_not_empty(tmp_path: Path, names: list[str]) -> None:
    source = Listed([])
    source.classes = names  # type: ignore[misc]
    with pytest.raises(SourceError, match="distinct names, none of them empty"):
        run(source, tmp_path / "out")


def test_nothing_left_to_train_on(tmp_path: Path, make_picture: Any) -> None:
    make_picture(tmp_path / "a.png", 0)
    item = Item("a.png", (tmp_path / "a.png").read_bytes, [], "test")
    with pytest.raises(SourceError, match="no image is left for train"):
        run(Listed([item]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_stays_empty_is_said(
    tmp_path: Path, make_picture: Any, caplog: pytest.LogCaptureFixture
) -> None:
    make_picture(tmp_path / "a.png", 0)
    make_picture(tmp_path / "b.png", 1)
    items = [
        Item("a.png", (tmp_path / "a.png").read_bytes, [BOX], "train"),
        Item("b.png", (tmp_path / "b.png").read_bytes, [], "val"),
    ]
    run(Listed(items), tmp_path / "out")
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert [text.split(":")[0] for text in warned] == ["val has images and no box", "test has no image"]


def test_nothing_to_find_in_the_images_to_train_on(
    tmp_path: Path, make_picture: Any, caplog: pytest.LogCaptureFixture
) -> None:
    make_picture(tmp_path / "a.png", 0)
    run(Listed([Item("a.png", (tmp_path / "a.png").read_bytes, [], "train")]), tmp_path / "out")
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warned[0].startswith("train has images and no box: nothing can be learnt")


def test_images_that_all_fall_to_one_split_still_give_something_to_train_on(tmp_path: Path, make_picture: Any) -> None:
    items = []
    for number in range(3):
        make_picture(tmp_path / f"{number}.png", number)
        items.append(Item(f"{number}.png", (tmp_path / f"{number}.png").read_bytes, [BOX]))
    shares = {"val_fraction": 0.5, "test_fraction": 0.49999}
    assert run(Listed(items), tmp_path / "out", **shares).images == {"train": 1, "val": 1, "test": 1}


def test_official_lists_without_train_are_left_as_they_are(tmp_path: Path, make_picture: Any) -> None:
    items = []
    for number in range(3):
        make_picture(tmp_path / f"{number}.png", number)
        items.append(Item(f"{number}.png", (tmp_path / f"{number}.png").read_bytes, [], "test"))
    with pytest.raises(SourceError, match="no image is left for train"):
        run(Listed(items), tmp_path / "out")


@pytest.mark.parametrize("changed", [{"val_fraction": 1}, {"shard_count": 0}, {"max_rejected": -1}])
def test_options_are_checked_before_anything_is_read(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^data.{next(iter(changed))} is "):
        run(Listed([]), tmp_path / "out", **changed)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_images(
    tmp_path: Path, writers: Any, samples: Any, classes: Any, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    for sample in samples:
        sample[2].extend([("no", 5, 5, 5, 9)] * 2)
    writers["voc"](tmp_path / "in", samples, classes)
    (tmp_path / "in/JPEGImages/nested/é.PNG").unlink()
    source = VocSource(tmp_path / "in", classes=["on", "1e3", "人"])
    with caplog.at_level(logging.INFO):
        run(source, tmp_path / "out", max_rejected=99)
    said = [r.message for r in caplog.records if r.message.startswith("preparing images")]
    assert {text.removeprefix("preparing images: ") for text in said} >= {"1 of 3", "2 of 3", "3 of 3"}
    assert said[-2:] == ["preparing images: 3 of 3", "preparing images: 3, done"]


@pytest.mark.parametrize("listed", ["train", None])
def test_few_images_still_give_every_split_one(
    tmp_path: Path, make_picture: Any, caplog: pytest.LogCaptureFixture, listed: str | None
) -> None:
    items = []
    for number in range(6):
        make_picture(tmp_path / f"{number}.png", number % 3)  # each picture twice: one picture stays in one split
        items.append(Item(f"{number}.png", (tmp_path / f"{number}.png").read_bytes, [BOX], listed))
    few = {"val_fraction": 1e-6, "test_fraction": 1e-6}
    assert run(Listed(items), tmp_path / "out", **few).images == {"train": 2, "val": 2, "test": 2}
    said = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert [text.rpartition(" raise ")[2] for text in said] == ["data.val_fraction", "data.test_fraction"]
    assert run(Listed(items), tmp_path / "again", **few | {"test_fraction": 0}).images["test"] == 0


def test_a_split_that_the_source_lacks_is_taken_from_its_training_images(tmp_path: Path, make_picture: Any) -> None:
    items = []
    for number in range(60):
        path = tmp_path / f"{number}.png"
        make_picture(path, number)
        items.append(Item(path.name, path.read_bytes, [BOX], "val" if number < 10 else "train"))
    images = run(Listed(items), tmp_path / "out").images
    assert images["val"] == 10
    assert 4 <= images["test"] <= 16
    assert images["train"] == 50 - images["test"]


class Picture:
    """A rendered image that somebody holds in memory."""

    def __init__(self, number: int) -> None:
        self.pixels = np.full((48, 64, 3), number, np.uint8)

    def read(self) -> bytes:
        return bytes(cv2.imencode(".png", self.pixels)[1].tobytes())


def test_few_images_are_in_memory_at_a_time(tmp_path: Path) -> None:
    held: weakref.WeakSet[Picture] = weakref.WeakSet()
    counts = []

    class Rendered(Listed):
        def read(self) -> Iterator[Item | Rejection]:
            for i in range(100):
                picture = Picture(i)
                held.add(picture)
                yield Item(f"{i}.png", picture.read, [BOX], "train")
                del picture
                counts.append(len(held))

    assert sum(run(Rendered([]), tmp_path / "out").images.values()) == 100
    assert max(counts) <= 30


def test_an_error_of_the_source_is_passed_on(tmp_path: Path, make_picture: Any) -> None:
    make_picture(tmp_path / "a.png", 0)

    class Broken(Listed):
        def read(self) -> Iterator[Item | Rejection]:
            yield Item("a.png", (tmp_path / "a.png").read_bytes, [], "train")
            raise SourceError("no label")

    with pytest.raises(SourceError, match="no label"):
        run(Broken([]), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
