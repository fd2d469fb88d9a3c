"""Builders of small datasets in each format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from PIL import Image

Box = tuple[str, float, float, float, float]
Sample = tuple[str, str, list[Box]]
"""Split, name with extension, boxes as corners; every image is 64 x 48."""

Write = Callable[[Path, list[Sample], list[str]], None]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def xml(boxes: list[Box], width: int = 64, height: int = 48) -> str:
    objects = "".join(
        f"<object><name>{escape(n)}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in boxes
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{size}{objects}</annotation>"


def write_voc(root: Path, samples: list[Sample], classes: list[str]) -> None:
    del classes
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for i, (split, name, boxes) in enumerate(samples):
        picture(root / "JPEGImages" / name, i)
        label = (root / "Annotations" / name).with_suffix(".xml")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(xml(boxes), "utf-8")
        with (root / "ImageSets" / "Main" / f"{split}.txt").open("a", encoding="utf-8", newline="") as file:
            file.write(Path(name).with_suffix("").as_posix() + "\r\n")


def write_yolo(root: Path, samples: list[Sample], classes: list[str]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("names: " + json.dumps(classes), "utf-8")
    for i, (split, name, boxes) in enumerate(samples):
        picture(root / "images" / split / name, i)
        label = (root / "labels" / split / name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            f"{classes.index(n)} {(a + c) / 128:.9f} {(b + d) / 96:.9f} {(c - a) / 64:.9f} {(d - b) / 48:.9f}\r\n"
            for n, a, b, c, d in boxes
        ]
        label.write_bytes("".join(rows).encode())


def write_coco(root: Path, samples: list[Sample], classes: list[str]) -> None:
    (root / "annotations").mkdir(parents=True)
    for split in sorted({s for s, _, _ in samples}):
        images, annotations = [], []
        for i, (own, name, boxes) in enumerate(samples):
            if own != split:
                continue
            picture(root / "images" / split / name, i)
            images.append({"id": i, "file_name": name, "width": 64, "height": 48})
            annotations += [
                {"image_id": i, "category_id": 7 * classes.index(n), "bbox": [a, b, c - a, d - b]}
                for n, a, b, c, d in boxes
            ]
        categories = [{"id": 7 * i, "name": n} for i, n in reversed(list(enumerate(classes)))]
        data = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(data), "utf-8")


@pytest.fixture
def samples() -> list[Sample]:
    return [
        ("train", "a b.png", [("no", 1, 2, 30, 40), ("人", 5.5, 6, 10, 12)]),
        ("train", "nested/é.PNG", [("1e3", 0, 0, 64, 48)]),
        ("val", "图.JPG", [("on", 3, 3, 9, 9)]),
        ("test", "empty.png", []),
    ]


@pytest.fixture
def classes() -> list[str]:
    return sorted(["no", "on", "1e3", "人"])


@pytest.fixture
def writers() -> dict[str, Write]:
    return {"voc": write_voc, "coco": write_coco, "yolo": write_yolo}


@pytest.fixture
def make_xml() -> Callable[..., str]:
    return xml


@pytest.fixture
def make_picture() -> Callable[[Path, int], None]:
    return picture
