"""Files of a folder by name, whatever the case of their extension, however deep, composed or not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pindet.data.records import SourceError, nfc, shortened

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def check_root(root: Path, expected: str) -> None:
    """Raise SourceError unless ``root`` is a folder with something in it."""
    if not root.is_dir():
        seen = "is a file" if root.is_file() else "does not exist"
        raise SourceError(f"data.root {str(root)!r} {seen}; expected is a folder with {expected}; correct data.root")
    if not any(root.iterdir()):
        raise SourceError(f"data.root {str(root)!r} is empty; expected are {expected}; fetch the data (`dvc pull`)")


def files_by_stem(root: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """Map the path below ``root`` without extension (``/``-separated, NFC) to the file, sorted by path.

    Raises:
        SourceError: two files differ only in extension or in how their name is composed.
    """
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or not path.is_file():
            continue
        stem = nfc(path.relative_to(root).with_suffix("").as_posix())
        if stem in found:
            raise SourceError(f"{found[stem]} and {path} share one label file; allowed is one; rename one image")
        found[stem] = path
    return found


def images_by_stem(root: Path) -> dict[str, Path]:
    """:func:`files_by_stem` for images; raises SourceError also when ``root`` is missing or holds none."""
    if not root.is_dir():
        raise SourceError(f"no image folder {root}; allowed is a folder of images; correct data.root")
    found = files_by_stem(root, IMAGE_SUFFIXES)
    if not found:
        raise SourceError(f"no image in {root}; allowed are {', '.join(sorted(IMAGE_SUFFIXES))}; add some")
    return found


def read_lines(path: Path) -> list[str]:
    """The lines of a list that have something in them, without the space around it; none where there is no file.

    Raises:
        SourceError: it is not UTF-8.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines() if path.is_file() else []
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]


def check_unlabelled(names: Collection[str], unlabelled: str) -> None:
    """Refuse the images ``names`` that have no label, if there are any, unless ``unlabelled`` is ``background``."""
    if names and unlabelled != "background":
        which = shortened(map(repr, sorted(names)))
        raise SourceError(
            f"images without a label: {which} ({len(names)} in all); add labels (empty ones for background) or set "
            "`-S data.unlabelled=background`"
        )
