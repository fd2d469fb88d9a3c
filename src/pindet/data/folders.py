"""Images of a folder by name, whatever the case of their extension and however deep they lie."""

from __future__ import annotations

from pathlib import Path

from pindet.data.records import SourceError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def images_by_stem(root: Path) -> dict[str, Path]:
    """Map the path below ``root`` without extension (``/``-separated) to the image file, sorted.

    Raises:
        SourceError: ``root`` is no folder, or two images differ only in extension (their label is ambiguous).
    """
    if not root.is_dir():
        raise SourceError(f"no image folder {root}; allowed is a folder of images; check the source's root")
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        stem = path.relative_to(root).with_suffix("").as_posix()
        if stem in found:
            raise SourceError(f"{found[stem]} and {path} share one label file; allowed is one; rename one image")
        found[stem] = path
    return found


def check_unlabelled(name: str, unlabelled: str) -> None:
    """Refuse an image without a label file unless ``unlabelled`` is ``background``."""
    if unlabelled != "background":
        raise SourceError(
            f"image {name!r} has no label; add one (an empty one for background) or set unlabelled='background'"
        )
