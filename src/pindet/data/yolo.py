"""YOLO: ``data.yaml`` with names, images, and text files with normalised ``cx cy w h``.

The label of ``…/images/…/a.jpg`` is ``…/labels/…/a.txt`` (the last ``images`` of the path counts), so both
``images/train`` with ``labels/train`` and ``train/images`` with ``train/labels`` are understood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pindet.data.folders import check_root, check_unlabelled, files_by_stem, images_by_stem, read_lines
from pindet.data.layout import other_layout
from pindet.data.records import Item, RawBox, Reason, Rejection, SourceError, nfc, shortened
from pindet.data.yolo_config import YoloConfig, load_config

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
EXPECTED = "data.yaml, images/ and labels/ (or train/images, train/labels, …)"


@dataclass(frozen=True)
class _Pair:
    """An image and its label; one of them may be missing."""

    name: str
    split: str | None
    image: Path | None
    label: Path | None


class YoloSource:
    """Read a YOLO folder.

    ``train``, ``val`` and ``test`` of ``data.yaml`` (a folder, a text file that lists images, or a list of these;
    relative to ``path`` or to ``root``) are the splits, and nothing else is read. Without these keys the folders named
    train, val (or valid, validation) and test are.

    Args:
        root: the folder that holds ``data.yaml``.
        unlabelled: ``error`` or ``background``, for images without a text file.

    Raises:
        SourceError: the folder or ``data.yaml`` is missing or not as expected.
    """

    def __init__(self, root: Path, unlabelled: Literal["error", "background"] = "error") -> None:
        check_root(root, EXPECTED)
        self._root = root
        self._unlabelled = unlabelled
        self._config: YoloConfig = load_config(root)

    @property
    def classes(self) -> list[str]:
        """Class names in the order of ``names``."""
        return list(self._config.names)

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by path; raises SourceError for images without a label unless they are background."""
        pairs = list(self._pairs())
        check_unlabelled([p.name for p in pairs if p.image is not None and p.label is None], self._unlabelled)
        for pair in pairs:
            if pair.image is not None:
                yield from self._item(pair, pair.image)
            elif pair.name != "classes":  # some tools leave the list of names beside the labels
                missing = pair.label.name if pair.label else "a list"
                yield Rejection(pair.name, Reason.MISSING_IMAGE, f"named by {missing}, but not there", "dropped")

    def _pairs(self) -> Iterator[_Pair]:
        for place, split in self._places():
            if place.suffix.lower() == ".txt":
                yield from self._listed(place, split)
                continue
            images = place / "images" if (place / "images").is_dir() else place
            found, texts = images_by_stem(images), files_by_stem(_label_path(images, self._root), frozenset({".txt"}))
            for stem in sorted(found.keys() | texts.keys()):
                path = found.get(stem)
                name = stem if path is None else nfc(path.relative_to(images).as_posix())
                own, name = (split, name) if split else _split_of(name)
                yield _Pair(name, own, path, texts.get(stem))

    def _places(self) -> list[tuple[Path, str | None]]:
        """Folders or lists of images with their split, None when the first folder within says it."""
        if self._config.places:
            return [(path, split) for split, paths in self._config.places.items() for path in paths]
        places: list[tuple[Path, str | None]] = []
        if (self._root / "images").is_dir():
            places.append((self._root / "images", None))
        places += [(self._root / f, s) for f, s in SPLIT_FOLDERS.items() if (self._root / f / "images").is_dir()]
        if not places:
            raise SourceError(
                f"no images in {self._root}; {other_layout(self._root, 'yolo')}; expected are {EXPECTED}; correct "
                "data.root or data.yaml"
            )
        return places

    def _listed(self, file: Path, split: str | None) -> Iterator[_Pair]:
        for line in sorted(set(read_lines(file))):
            near = [base / line for base in (file.parent, self._root, self._config.base)]
            path = next((p for p in near if p.is_file()), near[0])
            _check_inside(path, self._root, line)
            parts = path.resolve().relative_to(self._root.resolve()).parts
            after = len(parts) - parts[::-1].index("images") if "images" in parts else 0
            name = _split_of(nfc("/".join(parts[after:])))[1]
            label = _label_path(path, self._root).with_suffix(".txt")
            yield _Pair(name, split, path if path.is_file() else None, label if label.is_file() else None)

    def _item(self, pair: _Pair, path: Path) -> Iterator[Item | Rejection]:
        if pair.label is None:
            yield Item(pair.name, path.read_bytes, [], pair.split)
            return
        label = nfc(pair.label.relative_to(self._root).as_posix())
        try:
            lines = enumerate(pair.label.read_text("utf-8-sig").splitlines(), start=1)
            parsed = [(number, *_parse(line, number)) for number, line in lines if line.strip()]
        except ValueError as error:
            yield Rejection(pair.name, Reason.UNREADABLE, f"{label}: {error}", "dropped")
            return
        names = self._config.names
        boxes = []
        for number, index, cx, cy, w, h in parsed:
            if 0 <= index < len(names):
                boxes.append(RawBox(names[index], cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            else:
                known = f"0..{len(names) - 1} ({shortened(names)})"
                detail = f"{label} line {number}: class {index} is not in {known}"
                yield Rejection(pair.name, Reason.UNKNOWN_CLASS, detail, "dropped")
        yield Item(pair.name, path.read_bytes, boxes, pair.split, normalised=True)


def _split_of(name: str) -> tuple[str | None, str]:
    """Take the split off a name: ``valid/x/a.jpg`` is ``x/a.jpg`` of val."""
    first, _, rest = name.partition("/")
    split = SPLIT_FOLDERS.get(first) if rest else None
    return split, rest if split else name


def _label_path(path: Path, root: Path) -> Path:
    """Replace the last ``images`` below ``root`` by ``labels``."""
    parts = list(path.resolve().relative_to(root.resolve()).parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return root.joinpath(*parts)


def _check_inside(path: Path, root: Path, named: str) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise SourceError(f"{named!r} leaves {root}; allowed are paths below it, which the pipeline tracks; move it")


def _parse(line: str, number: int) -> tuple[int, float, float, float, float]:
    row = line.split()
    try:
        if len(row) != 5:
            raise ValueError(f"{len(row)} values")
        cx, cy, w, h = (float(v) for v in row[1:])
        return int(row[0]), cx, cy, w, h
    except ValueError as error:
        seen = line.strip()[:80]
        raise ValueError(f"line {number}: {seen!r} is not 'class cx cy w h' ({error}); export boxes") from error
