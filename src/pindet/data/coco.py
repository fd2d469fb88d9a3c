"""COCO: ``annotations/*.json`` with ``xywh`` boxes; files named ``…train…``, ``…val…``, ``…test…`` give splits."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pindet.data.folders import IMAGE_SUFFIXES, check_root, check_unlabelled
from pindet.data.records import SPLITS, Item, RawBox, Reason, Rejection, SourceError, nfc

EXPECTED = "annotations/*.json and images/ (or train/, val/, test/)"
_KEPT = ("id", "image_id", "category_id", "bbox", "iscrowd", "file_name", "width", "height", "name")
_LISTS = ("images", "annotations", "categories")


class CocoSource:
    """Read a COCO folder; images lie in ``images/{split}/``, ``{split}/`` or ``images/``.

    Args:
        root: the folder that holds ``annotations``.
        unlabelled: ``error`` or ``background``, for image files that no JSON lists. A listed image without
            annotations is labelled: it is background.

    Raises:
        SourceError: no JSON, a broken one, or files that disagree on the classes.
    """

    def __init__(self, root: Path, unlabelled: Literal["error", "background"] = "error") -> None:
        check_root(root, EXPECTED)
        self._root = root
        self._unlabelled = unlabelled
        self._files = sorted(p for p in (root / "annotations").glob("*") if p.suffix.lower() == ".json")
        if not self._files:
            raise SourceError(f"no JSON in {root / 'annotations'}; allowed is one per split or one for all")
        self._names: dict[int, str] = {}
        self._count = 0
        for path in self._files:
            data = _load(path)
            names = _categories(data, path)
            self._names = self._names or names
            if names != self._names:
                raise SourceError(f"{path} has classes {names}, {self._files[0]} {self._names}; make them equal")
            self._count += len(data["images"])

    def __len__(self) -> int:
        """Return the number of listed images."""
        return self._count

    @property
    def classes(self) -> list[str]:
        """Class names by category id."""
        return [self._names[i] for i in sorted(self._names)]

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by file and name; raises SourceError for an unlisted image unless it is background."""
        paths = self._paths()
        unseen = set(paths)
        for file in self._files:
            split = _split(file.stem)
            data = _load(file)
            boxes: dict[Any, list[Any]] = defaultdict(list)
            for annotation in data.get("annotations", []):
                boxes[annotation.get("image_id")].append(annotation)
            for image in sorted(data["images"], key=lambda i: i["file_name"]):
                name = nfc(image["file_name"])
                place = _find(name, split, paths)
                if place is None:
                    yield Rejection(name, Reason.MISSING_IMAGE, f"listed in {file.name}", "dropped")
                    boxes.pop(image["id"], None)
                    continue
                unseen.discard(place)
                yield from self._item(image, paths[place], boxes.pop(image["id"], []), split)
            for image_id in boxes:
                detail = f"annotated in {file.name}, but not among its images"
                yield Rejection(f"image_id {image_id}", Reason.MISSING_IMAGE, detail, "dropped")
        yield from self._unlisted({place: paths[place] for place in sorted(unseen)})

    def _paths(self) -> dict[str, str]:
        """Images by their path below the root, composed; plain strings, for there may be a great many."""
        found = {}
        for base in ("images", *SPLITS):
            for folder, _, names in os.walk(self._root / base):
                for name in names:
                    if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):  # noqa: PTH122
                        path = f"{folder}/{name}"
                        found[nfc(Path(path).relative_to(self._root).as_posix())] = path
        return found

    def _item(
        self, image: dict[str, Any], path: str, annotations: list[Any], split: str | None
    ) -> Iterator[Item | Rejection]:
        name = nfc(image["file_name"])
        boxes: list[RawBox] = []
        for annotation in annotations:
            if (category := annotation.get("category_id")) not in self._names:
                detail = f"category id {category} is not one of {sorted(self._names)}"
                yield Rejection(name, Reason.UNKNOWN_CLASS, detail, "dropped")
                continue
            if annotation.get("iscrowd"):
                yield Rejection(name, Reason.CROWD, f"{annotation.get('bbox')} is a crowd", "dropped")
                continue
            try:
                x, y, w, h = (float(v) for v in annotation["bbox"])
            except (KeyError, TypeError, ValueError) as error:
                detail = f"bbox {annotation.get('bbox')!r} is not [x, y, width, height]: {error}"
                yield Rejection(name, Reason.UNREADABLE, detail, "dropped")
                continue
            boxes.append(RawBox(self._names[category], x, y, x + w, y + h))
        yield Item(name, Path(path).read_bytes, boxes, split, image.get("width") or None, image.get("height") or None)

    def _unlisted(self, paths: dict[str, str]) -> Iterator[Item]:
        for place, path in paths.items():
            check_unlabelled(place, self._unlabelled)
            parts = place.split("/")
            split = next((p for p in parts[:2] if p in SPLITS), None)
            skip = int(parts[0] == "images") + int(split is not None)
            yield Item("/".join(parts[skip:]), Path(path).read_bytes, [], split)


def _find(name: str, split: str | None, paths: dict[str, str]) -> str | None:
    if name.startswith("/") or ".." in name.split("/"):
        raise SourceError(f"file_name {name!r} leaves the dataset; allowed are paths below images; correct it")
    folders = [f"images/{split}", split] if split else []
    name = name.removeprefix("./")
    return next((p for p in (f"{folder}/{name}" for folder in [*folders, "images"]) if p in paths), None)


def _split(stem: str) -> str | None:
    """Split in a file name: ``instances_val2017`` is val, ``trainval`` is none."""
    match = re.search(r"(?<![a-z])(train|val|test)(?![a-z])", stem.lower())
    return match[1] if match else None


def _load(path: Path) -> dict[str, Any]:
    """Parse a file; of its records only what is needed is kept, for polygons can take gigabytes."""
    try:
        data = json.loads(path.read_text("utf-8-sig"), object_hook=_slim)
    except ValueError as error:
        raise SourceError(f"{path} is no JSON: {error}; export it again") from error
    if not isinstance(data, dict) or not {"images", "categories"} <= data.keys():
        raise SourceError(f"{path} lacks 'images' or 'categories'; allowed is COCO instances JSON")
    for image in data["images"]:
        if "id" not in image or not isinstance(image.get("file_name"), str):
            raise SourceError(f"{path} has the image {image}; allowed is one with 'id' and 'file_name'; correct it")
    ids = {image["id"] for image in data["images"]}
    if len(ids) != len(data["images"]):
        raise SourceError(f"{path} has {len(data['images'])} images but {len(ids)} ids; give each image its own id")
    return data


def _slim(record: dict[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in (*_LISTS, *_KEPT) if key in record}


def _categories(data: dict[str, Any], path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for category in data["categories"]:
        number, name = category.get("id"), category.get("name")
        if not isinstance(number, int) or number in names:
            raise SourceError(f"{path}: class id {number!r} of {name!r} is no number of its own; give it one")
        if not isinstance(name, str):
            raise SourceError(f"{path}: class name {name!r} is no string; put it in quotes")
        names[number] = nfc(name)
    return names
