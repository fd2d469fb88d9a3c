"""Pascal VOC: ``Annotations/**/*.xml``, ``JPEGImages/``, ``ImageSets/Main/{train,val,test}.txt``.

Coordinates are taken as edges as written, without the 1-based shift of the 2012 devkit: most tools that write
VOC today do not shift, and a shift would hide zero-area boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from pindet.data.folders import check_root, check_unlabelled, files_by_stem, images_by_stem, read_lines
from pindet.data.layout import other_layout
from pindet.data.records import SPLITS, Action, Item, RawBox, Reason, Rejection, SourceError, nfc, shortened

EXPECTED = "Annotations/ and JPEGImages/"


class VocSource:
    """Read a VOC folder.

    Args:
        root: the folder that holds ``Annotations`` and ``JPEGImages``.
        classes: allowed class names in label order; every label found, sorted, when None.
        unlabelled: ``error`` or ``background``, for images without an XML file.
        difficult: ``keep`` or ``drop`` boxes marked as difficult; reported either way.

    Raises:
        SourceError: ``root`` is missing or empty, or holds no XML file; or ``classes`` is None and no file names any.
    """

    def __init__(
        self,
        root: Path,
        classes: Sequence[str] | None = None,
        unlabelled: Literal["error", "background"] = "error",
        difficult: Literal["keep", "drop"] = "keep",
    ) -> None:
        check_root(root, EXPECTED)
        self._root = root
        self._unlabelled = unlabelled
        self._keeps_difficult = difficult == "keep"
        self._labels = files_by_stem(root / "Annotations", frozenset({".xml"}))
        if not self._labels and (classes is None or unlabelled == "error"):
            raise SourceError(
                f"no Annotations/*.xml in {root}; {other_layout(root, 'voc')}; expected are {EXPECTED}; correct "
                "data.root"
            )
        self._classes = sorted(set(self._found())) if classes is None else [nfc(c) for c in classes]
        if classes is None and not self._classes:
            raise SourceError(
                f"none of the {len(self._labels)} Annotations/*.xml in {root} has an object with a name; label some, "
                "or list the names: `-S 'data.classes=[...]'`"
            )

    @property
    def classes(self) -> list[str]:
        """Class names in label order: as they were given, or sorted."""
        return list(self._classes)

    def __len__(self) -> int:
        """Return the number of images; those whose label cannot be read yield no item."""
        return len(self._images)

    def read(self) -> Iterator[Item | Rejection]:
        """Yield items by name; raises SourceError for images without a label unless they are background."""
        images = self._images
        check_unlabelled([stem for stem in images if stem not in self._labels], self._unlabelled)
        lists = {s: self._listed(s) for s in SPLITS}
        for stem in sorted(self._labels.keys() | images.keys() | set().union(*lists.values())):
            if stem not in images:
                yield Rejection(stem, Reason.MISSING_IMAGE, "labelled or listed, but has no image", "dropped")
                continue
            splits = [s for s in reversed(SPLITS) if stem in lists[s]]
            if len(splits) > 1:
                yield Rejection(stem, Reason.LEAK, f"listed in {splits}; kept in {splits[0]}", "dropped")
            yield from self._item(stem, images[stem], splits[0] if splits else None)

    @cached_property
    def _images(self) -> dict[str, Path]:
        return images_by_stem(self._root / "JPEGImages")

    def _item(self, stem: str, path: Path, split: str | None) -> Iterator[Item | Rejection]:
        name = nfc(path.relative_to(self._root / "JPEGImages").as_posix())
        if stem not in self._labels:
            yield Item(name, path.read_bytes, [], split)
            return
        label = nfc(self._labels[stem].relative_to(self._root).as_posix())
        try:
            tree = ElementTree.parse(self._labels[stem]).getroot()
            found = [(_box(node), (node.findtext("difficult") or "").strip() == "1") for node in tree.iter("object")]
            size = [int(tree.findtext(f"size/{k}") or 0) for k in ("width", "height")]
        except (ElementTree.ParseError, ValueError) as error:
            yield Rejection(name, Reason.UNREADABLE, f"{label}: {error}", "dropped")
            return
        boxes = []
        for number, (box, is_difficult) in enumerate(found, start=1):
            if box.label not in self._classes:
                detail = f"{label} object {number}: class {box.label!r} is not one of {shortened(self._classes)}"
                yield Rejection(name, Reason.UNKNOWN_CLASS, detail, "dropped")
                continue
            if is_difficult:
                action: Action = "kept" if self._keeps_difficult else "excluded"
                yield Rejection(name, Reason.DIFFICULT, f"{box}", action)
            if self._keeps_difficult or not is_difficult:
                boxes.append(box)
        # Labelling tools write 0 for a size that they do not know.
        yield Item(name, path.read_bytes, boxes, split, size[0] or None, size[1] or None)

    def _found(self) -> Iterator[str]:
        for path in self._labels.values():
            try:
                nodes = list(ElementTree.parse(path).getroot().iter("object"))
            except ElementTree.ParseError:
                continue  # read() reports it
            yield from (label for label in map(_label, nodes) if label)  # read() rejects an object without a name

    def _listed(self, split: str) -> set[str]:
        path = self._root / "ImageSets" / "Main" / f"{split}.txt"
        return {nfc(line) for line in read_lines(path)}


def _box(node: ElementTree.Element) -> RawBox:
    found = {key: node.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")}
    missing = [key for key, text in found.items() if not (text and text.strip())]
    if missing:
        raise ValueError(f"an object {_label(node)!r} has no {', '.join(missing)} in its bndbox")
    return RawBox(_label(node), *(float(text or "") for text in found.values()))


def _label(node: ElementTree.Element) -> str:
    return nfc((node.findtext("name") or "").strip())
