"""What the recipe of ``experiment/bccd``, unchanged, reaches on data sets of other kinds.

    python benchmarks/generality.py                    # every kind, one seed
    python benchmarks/generality.py few-large one-class

Renders each kind of data set, trains and measures it as ``accuracy.py`` does, and prints a table. The objects are
plates of metal on a conveyor, of so many shapes and colours as there are classes, under the camera of the generated
parts.
``twenty-images`` has 16 images to learn from and 4 to choose the best epoch; a hundred more measure what came of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("src", "serve")]

from pindet.data.parts.belt import render_belt  # noqa: E402
from pindet.data.parts.camera import photograph  # noqa: E402

HEIGHT, WIDTH = 320, 416
COLOURS = {
    "steel": (0.45, 0.45, 0.46), "brass": (0.55, 0.4, 0.12), "red": (0.5, 0.04, 0.04),
    "green": (0.04, 0.35, 0.08), "blue": (0.04, 0.1, 0.5), "white": (0.75, 0.75, 0.72),
}  # fmt: skip
SHAPES = ("square", "bar", "triangle", "pentagon", "disc", "ring", "star", "cross", "tee", "crescent")


@dataclass(frozen=True)
class Kind:
    """Images of each split, classes, objects in an image, and their largest side as a share of the image's height."""

    images: tuple[int, int, int]
    classes: int
    objects: tuple[int, int]
    sides: tuple[float, float]


KINDS = {
    "few-large": Kind((150, 50, 100), 4, (1, 2), (0.45, 0.9)),
    "many-small": Kind((150, 50, 100), 4, (40, 90), (0.03, 0.07)),
    "one-class": Kind((150, 50, 100), 1, (0, 6), (0.1, 0.3)),
    "sixty-classes": Kind((300, 100, 150), 60, (4, 9), (0.12, 0.3)),
    "twenty-images": Kind((16, 4, 100), 4, (1, 8), (0.1, 0.3)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="by default every kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a new folder for the rendered data sets, to look at them")
    options = parser.parse_args()
    show(["kind", "val mAP", "val mAP 50", "test mAP", "test mAP 50", "CPU-s"])
    show(["---"] * 6)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.kinds or KINDS:
            root = (options.keep or Path(folder)) / name
            write(root, KINDS[name], np.random.default_rng([options.seed, list(KINDS).index(name)]))
            command = [sys.executable, str(ROOT / "benchmarks/accuracy.py"), "experiment=bccd", "--root", str(root)]
            said = subprocess.run(
                [*command, "--seeds", str(options.seed)], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            show([name, *(cell.strip() for cell in said.splitlines()[2].split("|")[2:-1])])


def show(row: list[str]) -> None:
    """Print a line of the table at once: all of it takes an hour."""
    sys.stdout.write(f"| {' | '.join(row)} |\n")
    sys.stdout.flush()


def write(root: Path, kind: Kind, rng: np.random.Generator) -> None:
    """Write a Pascal VOC data set with split files."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    pairs = list(itertools.product(SHAPES, COLOURS))
    pairs = pairs if kind.classes == len(pairs) else [(shape, "steel") for shape in SHAPES[: kind.classes]]
    for split, count in zip(("train", "val", "test"), kind.images, strict=True):
        names = [f"{split}-{i:04d}" for i in range(count)]
        for name in names:
            data, objects = image(rng, kind, pairs)
            (root / "JPEGImages" / f"{name}.jpg").write_bytes(data)
            (root / "Annotations" / f"{name}.xml").write_bytes(annotation(objects))
        (root / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (root / "kind.json").write_text(json.dumps(vars(kind)) + "\n", encoding="utf-8")


def image(
    rng: np.random.Generator, kind: Kind, pairs: list[tuple[str, str]]
) -> tuple[bytes, list[tuple[str, list[int]]]]:
    """One JPEG and its objects: class name, and the corners ``x1 y1 x2 y2`` of the box in pixels."""
    picture = render_belt(rng, HEIGHT, WIDTH)
    taken = np.zeros((HEIGHT, WIDTH), bool)
    found = []
    light = rng.uniform(0.7, 1.3)
    for _ in range(int(rng.integers(kind.objects[0], kind.objects[1] + 1))):
        shape, colour = pairs[rng.integers(len(pairs))]
        mask = plate(rng, shape, HEIGHT * rng.uniform(*kind.sides))
        height, width = mask.shape
        for _ in range(20):
            y, x = int(rng.integers(0, max(1, HEIGHT - height))), int(rng.integers(0, max(1, WIDTH - width)))
            window = np.s_[y : y + height, x : x + width]
            if not (taken[window] & (mask > 0.5)[: HEIGHT - y, : WIDTH - x]).any():
                break
        else:
            continue
        alpha = mask[: HEIGHT - y, : WIDTH - x, None]
        shade = cv2.resize(rng.uniform(0.6, 1.2, (2, 2)).astype(np.float32), (width, height))[: HEIGHT - y, : WIDTH - x]
        lit = np.asarray(COLOURS[colour], np.float32) * light * rng.uniform(0.8, 1.2) * shade[..., None]
        shadow = np.roll(cv2.GaussianBlur(mask, (0, 0), 2), (2, 3), (0, 1))[: HEIGHT - y, : WIDTH - x, None]
        picture[window] = picture[window] * (1 - 0.6 * shadow) * (1 - alpha) + lit * alpha
        covered = alpha[..., 0] > 0.5
        taken[window] |= covered
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        corners = [x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1]
        found.append((shape if len(pairs) < 60 else f"{colour}_{shape}", [int(each) for each in corners]))
    return photograph(rng, picture), found


def plate(rng: np.random.Generator, shape: str, side: float) -> NDArray[np.float32]:
    """The mask 0..1 of a shape whose largest side is ``side`` pixels, turned at random, cut close."""
    size = 256
    canvas = np.zeros((size, size), np.uint8)
    outline(canvas, shape)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), 0.68)
    turned = cv2.warpAffine(canvas, turn, (size, size), flags=cv2.INTER_LINEAR)
    x, y, width, height = cv2.boundingRect((turned > 127).astype(np.uint8))
    zoom = side / max(width, height)
    shown = (max(4, round(width * zoom)), max(4, round(height * zoom)))
    cut = cv2.resize(turned[y : y + height, x : x + width], shown, interpolation=cv2.INTER_AREA)
    return np.asarray(cut, np.float32) / 255


def outline(canvas: NDArray[np.uint8], shape: str) -> None:
    """Draw a shape, 255 on 0, on a square of 256."""

    def polygon(*points: tuple[float, float]) -> None:
        cv2.fillPoly(canvas, [np.array([(128 + x, 128 + y) for x, y in points], np.int32)], 255)

    def corners(count: int, *radii: float) -> list[tuple[float, float]]:
        angles = [2 * np.pi * i / count for i in range(count)]
        return [(radii[i % len(radii)] * np.sin(a), -radii[i % len(radii)] * np.cos(a)) for i, a in enumerate(angles)]

    match shape:
        case "square":
            polygon((-80, -80), (80, -80), (80, 80), (-80, 80))
        case "bar":
            polygon((-115, -35), (115, -35), (115, 35), (-115, 35))
        case "triangle":
            polygon(*corners(3, 115))
        case "pentagon":
            polygon(*corners(5, 110))
        case "disc" | "ring" | "crescent":
            cv2.circle(canvas, (128, 128), 105, 255, -1)
            if shape != "disc":
                cv2.circle(canvas, (128 if shape == "ring" else 175, 128), 55 if shape == "ring" else 85, 0, -1)
        case "star":
            polygon(*corners(10, 118, 50))
        case "cross" | "tee":
            polygon((-110, -30), (110, -30), (110, 30), (-110, 30))
            top = -110 if shape == "cross" else 0
            polygon((-30, top), (30, top), (30, 110), (-30, 110))


def annotation(objects: list[tuple[str, list[int]]]) -> bytes:
    """Pascal VOC's XML."""
    tree = ElementTree.Element("annotation")
    for name, corners in objects:
        node = ElementTree.SubElement(tree, "object")
        ElementTree.SubElement(node, "name").text = name
        box = ElementTree.SubElement(node, "bndbox")
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            ElementTree.SubElement(box, key).text = str(value)
    return bytes(ElementTree.tostring(tree, encoding="utf-8"))


if __name__ == "__main__":
    main()
