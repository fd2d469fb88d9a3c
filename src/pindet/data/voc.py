"""Pascal VOC: ``Annotations/**/*.xml``, ``JPEGImages/``, ``ImageSets/Main/{train,val,test}.txt``.

Coordinates are taken as edges as written, without the 1-based shift of the 2012 devkit: most tools that write
VOC today do not shift, and a shift would hide zero-area boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from pindet.data.folders import check_unlabelled, images_by_stem
from pindet.data.records import SPLITS, Item, RawBox, Reason, Rejection


class VocSource:
    """Read a VOC folder.

    Args:
        root: the folder that holds ``Annotations`` and ``JPEGImages``.
        classes: allowed class names; every label found, sorted, when None.
        unlabelled: ``error`` or ``background``, for images without an XML file.
    """

    def __init__(
        self,
        root: Path,
        classes: Sequence[str] | None = None,
        unlabelled: Literal["error", "background"] = "error",
    ) -> None:
        self._root = root
        self._unlabelled = unlabelled
        self._labels = {
            p.relative_to(root / "Annotations").with_suffix("").as_posix(): p
            for p in sorted((root / "Annotations").rglob("*"))
            if p.suffix.lower() == ".xml"
        }
        self._classes = sorted(set(self._found() if classes is None else classes))

    @property
    def classes(self) -> list[str]:
        """Class names, sorted."""
        return list(self._classes)

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by name; raises SourceError for an image without a label unless it is background."""
        images = images_by_stem(self._root / "JPEGImages")
        lists = {s: self._listed(s) for s in SPLITS}
        for stem in sorted(self._labels.keys() | images.keys() | set().union(*lists.values())):
            if stem not in images:
                yield Rejection(stem, Reason.MISSING_IMAGE, "labelled or listed, but has no image", "dropped")
                continue
            splits = [s for s in reversed(SPLITS) if stem in lists[s]]
            if len(splits) > 1:
                yield Rejection(stem, Reason.LEAK, f"listed in {splits}; kept in {splits[0]}", "dropped")
            yield from self._item(stem, images[stem], splits[0] if splits else None)

    def _item(self, stem: str, path: Path, split: str | None) -> Iterator[Item | Rejection]:
        name = path.relative_to(self._root / "JPEGImages").as_posix()
        if stem not in self._labels:
            check_unlabelled(name, self._unlabelled)
            yield Item(name, path, [], None, None, split)
            return
        try:
            tree = ElementTree.parse(self._labels[stem]).getroot()
            boxes = [_box(node) for node in tree.iter("object")]
            size = [int(tree.findtext(f"size/{k}") or 0) for k in ("width", "height")]
        except (ElementTree.ParseError, ValueError) as error:
            yield Rejection(name, Reason.UNREADABLE, f"{self._labels[stem].name}: {error}", "dropped")
            return
        for box in boxes:
            if box.label not in self._classes:
                detail = f"class {box.label!r} is not one of {self._classes}"
                yield Rejection(name, Reason.UNKNOWN_CLASS, detail, "dropped")
        known = [box for box in boxes if box.label in self._classes]
        # Labelling tools write 0 for a size that they do not know.
        yield Item(name, path, known, size[0] or None, size[1] or None, split)

    def _found(self) -> Iterator[str]:
        for path in self._labels.values():
            try:
                nodes = list(ElementTree.parse(path).getroot().iter("object"))
            except ElementTree.ParseError:
                continue  # read() reports it
            yield from ((n.findtext("name") or "").strip() for n in nodes)

    def _listed(self, split: str) -> set[str]:
        path = self._root / "ImageSets" / "Main" / f"{split}.txt"
        lines = path.read_text("utf-8-sig").splitlines() if path.is_file() else []
        return {line.strip() for line in lines if line.strip()}


def _box(node: ElementTree.Element) -> RawBox:
    values = [float(node.findtext(f"bndbox/{k}") or "missing") for k in ("xmin", "ymin", "xmax", "ymax")]
    return RawBox((node.findtext("name") or "").strip(), *values)
