"""COCO: ``annotations/*.json`` with ``xywh`` boxes; files named ``…train…``, ``…val…``, ``…test…`` give splits."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pindet.data.folders import check_unlabelled, images_by_stem
from pindet.data.records import SPLITS, Item, RawBox, Reason, Rejection, SourceError


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
        self._root = root
        self._unlabelled = unlabelled
        self._files = sorted(p for p in (root / "annotations").glob("*") if p.suffix.lower() == ".json")
        if not self._files:
            raise SourceError(f"no JSON in {root / 'annotations'}; allowed is one per split or one for all")
        self._names = _categories(_load(self._files[0]), self._files[0])
        for path in self._files[1:]:
            if (names := _categories(_load(path), path)) != self._names:
                raise SourceError(f"{path} has classes {names}, {self._files[0]} {self._names}; make them equal")

    @property
    def classes(self) -> list[str]:
        """Class names by category id."""
        return [self._names[i] for i in sorted(self._names)]

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by file and name; raises SourceError for an unlisted image unless it is background."""
        seen: set[Path] = set()
        for file in self._files:
            split = _split(file.stem)
            data = _load(file)
            boxes: dict[Any, list[Any]] = defaultdict(list)
            for annotation in data.get("annotations", []):
                boxes[annotation.get("image_id")].append(annotation)
            for image in sorted(data["images"], key=lambda i: str(i["file_name"])):
                path = self._find(image["file_name"], split)
                if path is None:
                    yield Rejection(image["file_name"], Reason.MISSING_IMAGE, f"listed in {file.name}", "dropped")
                    boxes.pop(image["id"], None)
                    continue
                seen.add(path)
                yield from self._item(image, path, boxes.pop(image["id"], []), split)
            for image_id in boxes:
                detail = f"annotated in {file.name}, but not among its images"
                yield Rejection(f"image_id {image_id}", Reason.MISSING_IMAGE, detail, "dropped")
        yield from self._unlisted(seen)

    def _item(
        self, image: dict[str, Any], path: Path, annotations: list[Any], split: str | None
    ) -> Iterator[Item | Rejection]:
        name: str = image["file_name"]
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
        yield Item(name, path, boxes, image.get("width") or None, image.get("height") or None, split)

    def _find(self, name: str, split: str | None) -> Path | None:
        if name.startswith("/") or ".." in name.split("/"):
            raise SourceError(f"file_name {name!r} leaves the dataset; allowed are paths below images; correct it")
        folders = [f"images/{split}", split] if split else []
        paths = (self._root / folder / name for folder in [*folders, "images"])
        return next((p for p in paths if p.is_file()), None)

    def _unlisted(self, seen: set[Path]) -> Iterator[Item]:
        for base in ("images", *SPLITS):
            root = self._root / base
            for path in images_by_stem(root).values() if root.is_dir() else ():
                if path in seen:
                    continue
                parts = path.relative_to(self._root).parts
                split = next((p for p in parts[:2] if p in SPLITS), None)
                check_unlabelled(path.relative_to(self._root).as_posix(), self._unlabelled)
                skip = int(parts[0] == "images") + int(split is not None)
                yield Item("/".join(parts[skip:]), path, [], None, None, split)


def _split(stem: str) -> str | None:
    """Split in a file name: ``instances_val2017`` is val, ``trainval`` is none."""
    match = re.search(r"(?<![a-z])(train|val|test)(?![a-z])", stem.lower())
    return match[1] if match else None


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise SourceError(f"{path} is no JSON: {error}; export it again") from error
    if not isinstance(data, dict) or not {"images", "categories"} <= data.keys():
        raise SourceError(f"{path} lacks 'images' or 'categories'; allowed is COCO instances JSON")
    ids = [image["id"] for image in data["images"]]
    if len(set(ids)) != len(ids):
        raise SourceError(f"{path} has {len(ids)} images but {len(set(ids))} ids; give each image its own id")
    return data


def _categories(data: dict[str, Any], path: Path) -> dict[int, str]:
    for category in data["categories"]:
        if not isinstance(category["name"], str):
            raise SourceError(f"{path}: class name {category['name']!r} is no string; put it in quotes")
    return {category["id"]: category["name"] for category in data["categories"]}
