"""COCO JSON with ``xywh`` boxes, in the layouts in which it is found.

Either ``annotations/*.json``, where files named ``…train…``, ``…val…``, ``…test…`` (a year may follow) give splits and
images lie in ``images/train/``, ``train/`` (the same with the year) or ``images/``; or ``_annotations.coco.json``
beside the images of each of ``train/``, ``valid/`` and ``test/``. Where files are named ``instances…``, the others
(captions, key points) are not read.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pindet.data.folders import IMAGE_SUFFIXES, check_root, check_unlabelled
from pindet.data.layout import other_layout
from pindet.data.records import SPLITS, Item, RawBox, Reason, Rejection, SourceError, nfc, shortened

EXPECTED = "annotations/*.json and images/ (or train/, val/, test/)"
_BESIDE = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_KEPT = ("id", "image_id", "category_id", "bbox", "iscrowd", "file_name", "width", "height", "name")
_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class _File:
    """An annotation file, its split, and the folders below the root where its images may be, best first."""

    path: Path
    split: str | None
    folders: tuple[str, ...]


class CocoSource:
    """Read a COCO folder.

    Args:
        root: the folder that holds ``annotations``, or ``train`` and its like.
        unlabelled: ``error`` or ``background``, for image files that no JSON lists. A listed image without
            annotations is labelled: it is background.

    Raises:
        SourceError: no JSON, a broken one, or files that disagree on the classes.
    """

    def __init__(self, root: Path, unlabelled: Literal["error", "background"] = "error") -> None:
        check_root(root, EXPECTED)
        self._root = root
        self._unlabelled = unlabelled
        self._files = _find_files(root)
        self._names: dict[int, str] = {}
        self._listed: list[list[str]] = []
        for file in self._files:
            data = _load(file.path)
            names = _categories(data, file.path)
            self._names = self._names or names
            if names != self._names:
                first = self._files[0].path
                raise SourceError(f"{file.path} has classes {names}, {first} {self._names}; make them equal")
            self._listed.append([nfc(image["file_name"]) for image in data["images"]])

    def __len__(self) -> int:
        """Return the number of images, listed or not, that are there."""
        listed = zip(self._files, self._listed, strict=True)
        places = [_find(name, file.folders, self._paths) for file, names in listed for name in names]
        found = [place for place in places if place is not None]
        return len(found) + len(self._paths.keys() - set(found))

    @property
    def classes(self) -> list[str]:
        """Class names by category id."""
        return [self._names[i] for i in sorted(self._names)]

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by file and name; raises SourceError for an unlisted image unless it is background."""
        paths = self._paths
        unseen = set(paths)
        for file in self._files:
            data = _load(file.path)
            boxes: dict[Any, list[Any]] = defaultdict(list)
            for annotation in data.get("annotations") or []:
                boxes[annotation.get("image_id")].append(annotation)
            for image in sorted(data["images"], key=lambda i: i["file_name"]):
                name = nfc(image["file_name"])
                place = _find(name, file.folders, paths)
                if place is None:
                    yield Rejection(name, Reason.MISSING_IMAGE, f"listed in {file.path.name}", "dropped")
                    boxes.pop(image["id"], None)
                    continue
                unseen.discard(place)
                yield from self._item(image, paths[place], boxes.pop(image["id"], []), file)
            for image_id in boxes:
                detail = f"annotated in {file.path.name}, but not among its images"
                yield Rejection(f"image_id {image_id}", Reason.MISSING_IMAGE, detail, "dropped")
        yield from self._unlisted({place: paths[place] for place in sorted(unseen)})

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Images by their path below the root, composed; plain strings, for there may be a great many."""
        found = {}
        bases = {folder.split("/")[0] for file in self._files for folder in file.folders}
        for base in sorted(bases | _BESIDE.keys() | {"images"}):
            for folder, _, names in os.walk(self._root / base):
                for name in names:
                    if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("."):  # noqa: PTH122
                        path = f"{folder}/{name}"
                        found[nfc(Path(path).relative_to(self._root).as_posix())] = path
        return found

    def _item(
        self, image: dict[str, Any], path: str, annotations: list[Any], file: _File
    ) -> Iterator[Item | Rejection]:
        name = nfc(image["file_name"])
        label = file.path.relative_to(self._root).as_posix()
        boxes: list[RawBox] = []
        for annotation in annotations:
            if (category := annotation.get("category_id")) not in self._names:
                known = shortened(f"{i} ({self._names[i]})" for i in sorted(self._names))
                which = f" annotation {annotation['id']}" if "id" in annotation else ""
                detail = f"{label}{which}: category id {category} is not one of {known}"
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
        width, height = image.get("width") or None, image.get("height") or None
        yield Item(name, Path(path).read_bytes, boxes, file.split, width, height)

    def _unlisted(self, paths: dict[str, str]) -> Iterator[Item]:
        """Images that no file lists; the most specific folder says their split and where their name begins."""
        splits = {folder: file.split for file in self._files for folder in file.folders}
        splits |= {f"images/{split}": split for split in SPLITS} | _BESIDE | {"images": None}
        check_unlabelled(paths, self._unlabelled)
        for place, path in paths.items():
            folder = max((f for f in splits if place.startswith(f"{f}/")), key=len)
            yield Item(place.removeprefix(f"{folder}/"), Path(path).read_bytes, [], splits[folder])


def _find_files(root: Path) -> list[_File]:
    found = sorted(p for p in (root / "annotations").glob("*") if p.suffix.lower() == ".json")
    files = []
    for path in [p for p in found if p.name.startswith("instances")] or found:
        match = re.search(r"(?<![a-z])(train|val|test)(\d*)(?![a-z])", path.stem.lower())  # trainval is no split
        split = match[1] if match else None
        named = [f"{base}{name}" for name in (match[0], match[1]) for base in ("images/", "")] if match else []
        files.append(_File(path, split, (*dict.fromkeys(named), "images")))
    if files:
        return files
    beside = ((folder, split, root / folder / "_annotations.coco.json") for folder, split in _BESIDE.items())
    files = [_File(path, split, (folder,)) for folder, split, path in beside if path.is_file()]
    if not files:
        raise SourceError(
            f"no JSON in {root / 'annotations'} (one per split or one for all) and no _annotations.coco.json in "
            f"train/, valid/ or test/; {other_layout(root, 'coco')}; correct data.root"
        )
    return files


def _find(name: str, folders: tuple[str, ...], paths: dict[str, str]) -> str | None:
    if name.startswith("/") or ".." in name.split("/"):
        raise SourceError(f"file_name {name!r} leaves the dataset; allowed are paths below images; correct it")
    name = name.removeprefix("./")
    return next((p for p in (f"{folder}/{name}" for folder in folders) if p in paths), None)


def _load(path: Path) -> dict[str, Any]:
    """Parse a file; of its records only what is needed is kept, for polygons can take gigabytes."""
    try:
        data = json.loads(path.read_text("utf-8-sig"), object_hook=_slim)
    except ValueError as error:
        raise SourceError(f"{path} is no JSON: {error}; export it again") from error
    if not isinstance(data, dict) or not {"images", "categories"} <= data.keys():
        raise SourceError(f"{path} lacks 'images' or 'categories'; allowed is COCO instances JSON")
    for key in _LISTS:
        records = data.get(key)
        if key == "annotations" and records is None:
            continue
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise SourceError(f"{path}: {key!r} is no list of objects; allowed is COCO instances JSON; export it again")
    for annotation in data.get("annotations") or []:
        if any(isinstance(annotation.get(key), list | dict) for key in ("image_id", "category_id")):
            raise SourceError(f"{path} has the annotation {annotation}; its ids are no numbers; correct it")
    for image in data["images"]:
        if not isinstance(image.get("id"), int | str) or not isinstance(image.get("file_name"), str):
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
