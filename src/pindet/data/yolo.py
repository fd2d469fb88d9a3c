"""YOLO: ``data.yaml`` with names, ``images/[split]/``, ``labels/[split]/`` with normalised ``cx cy w h``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pindet_serve.images import ImageDecodeError

from pindet.data.folders import check_unlabelled, images_by_stem
from pindet.data.headers import displayed_size
from pindet.data.records import Item, RawBox, Reason, Rejection, SourceError

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class YoloSource:
    """Read a YOLO folder; a first folder named train, val (or valid, validation) or test is the split.

    Args:
        root: the folder that holds ``data.yaml``.
        unlabelled: ``error`` or ``background``, for images without a text file.

    Raises:
        SourceError: ``data.yaml`` is missing or a name in it is no string.
    """

    def __init__(self, root: Path, unlabelled: Literal["error", "background"] = "error") -> None:
        self._root = root
        self._unlabelled = unlabelled
        self._classes = _names(root / "data.yaml")

    @property
    def classes(self) -> list[str]:
        """Class names in the order of ``names``."""
        return list(self._classes)

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by path; raises SourceError for an image without a label unless it is background."""
        images = images_by_stem(self._root / "images")
        root = self._root / "labels"
        files = (p for p in sorted(root.rglob("*")) if p.suffix.lower() == ".txt")
        labels = {p.relative_to(root).with_suffix("").as_posix(): p for p in files}
        for stem in sorted(images.keys() | labels.keys()):
            if stem in images:
                yield from self._item(images[stem], labels.get(stem))
            elif stem != "classes":  # some tools leave the list of names beside the labels
                yield Rejection(stem, Reason.MISSING_IMAGE, f"{labels[stem].name} has no image", "dropped")

    def _item(self, path: Path, label: Path | None) -> Iterator[Item | Rejection]:
        parts = path.relative_to(self._root / "images").parts
        split = SPLIT_FOLDERS.get(parts[0]) if len(parts) > 1 else None
        name = "/".join(parts[1:] if split else parts)
        if label is None:
            check_unlabelled(name, self._unlabelled)
            yield Item(name, path, [], None, None, split)
            return
        try:
            width, height = displayed_size(path.read_bytes())
            rows = [row.split() for row in label.read_text("utf-8-sig").splitlines() if row.strip()]
            parsed = [_parse(row) for row in rows]
        except ImageDecodeError as error:
            yield Rejection(name, Reason.UNREADABLE, str(error), "dropped")
            return
        except ValueError as error:
            yield Rejection(name, Reason.UNREADABLE, f"{label.name}: {error}", "dropped")
            return
        boxes = []
        for index, cx, cy, w, h in parsed:
            if not 0 <= index < len(self._classes):
                detail = f"class {index} is not in 0..{len(self._classes) - 1}"
                yield Rejection(name, Reason.UNKNOWN_CLASS, detail, "dropped")
                continue
            x1, x2 = (cx - w / 2) * width, (cx + w / 2) * width
            y1, y2 = (cy - h / 2) * height, (cy + h / 2) * height
            boxes.append(RawBox(self._classes[index], x1, y1, x2, y2))
        yield Item(name, path, boxes, None, None, split)


def _parse(row: list[str]) -> tuple[int, float, float, float, float]:
    if len(row) != 5:
        raise ValueError(f"{len(row)} values in {' '.join(row)!r}; allowed is 'class cx cy w h'; export boxes")
    cx, cy, w, h = (float(v) for v in row[1:])
    return int(row[0]), cx, cy, w, h


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise SourceError(f"no {path}; write one with 'names: [...]'")
    data: Any = yaml.safe_load(path.read_text("utf-8-sig"))
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise SourceError(f"{path}: names have keys {list(names)}; allowed are 0..{len(names) - 1}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise SourceError(f"{path}: names is {names!r}; allowed is a list of strings; write 'names: [...]'")
    for i, name in enumerate(names):
        if not isinstance(name, str):  # unquoted no, on, yes, 1 are not strings in YAML
            raise SourceError(f'{path}: name {i} is {name!r}, no string; put it in quotes, such as "no"')
    return names
