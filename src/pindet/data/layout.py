"""Which kind of data set a folder looks like, for those who named another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pindet.data.records import shortened

_MOST_SEEN = 5


def other_layout(root: Path, own: str) -> str:
    """What to add to an error about ``root``: what lies there, and which setting it looks like if not ``own``.

    Args:
        root: an existing folder.
        own: the ``data`` setting in force: ``voc``, ``coco`` or ``yolo``.

    Returns:
        A clause such as ``seen there: images/, labels/; this looks like data=yolo: run it with `-S data=yolo```.
    """
    paths = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    # A name that is not UTF-8 could not be logged.
    names = [path.name.encode("utf-8", "replace").decode() + "/" * path.is_dir() for path in paths]
    looks = next((kind for kind, fits in _LAYOUTS.items() if kind != own and fits(root)), None)
    seen = f"seen there: {shortened(names, _MOST_SEEN) or 'nothing'}"
    return f"{seen}; this looks like data={looks}: run it with `-S data={looks}`" if looks else seen


def _is_voc(root: Path) -> bool:
    return (root / "Annotations").is_dir() and (root / "JPEGImages").is_dir()


def _is_coco(root: Path) -> bool:
    patterns = "annotations/*.json", "instances*.json", "_annotations.coco.json", "*/_annotations.coco.json"
    return any(_some(root.glob(pattern)) for pattern in patterns)


def _is_yolo(root: Path) -> bool:
    if (root / "data.yaml").is_file() or (root / "data.yml").is_file():
        return True
    pairs = [(path, path.with_name("labels")) for path in (root / "images", *root.glob("*/images"))]
    return any(images.is_dir() and _some(labels.rglob("*.txt")) for images, labels in pairs)


def _some(paths: Iterator[Path]) -> bool:
    return next(paths, None) is not None


_LAYOUTS: dict[str, Callable[[Path], bool]] = {"voc": _is_voc, "coco": _is_coco, "yolo": _is_yolo}
