"""What the arguments of ``pindet predict`` stand for: files, folders, globs; images and videos."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

IMAGES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
VIDEOS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mjpg", ".mjpeg"})


@dataclass(frozen=True)
class Source:
    """A file to read.

    Attributes:
        path: where it is.
        name: its path below the folder that all sources share, with ``/``; no two are the same.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether the extension is that of a video."""
        return self.path.suffix.lower() in VIDEOS


@dataclass(frozen=True)
class Skipped:
    """What could not be read, and why."""

    path: str
    reason: str


def find_sources(arguments: Sequence[str]) -> tuple[list[Source], list[Skipped]]:
    """Resolve the arguments; nothing is opened yet.

    A folder stands for every image and video below it, by extension. A glob (``*``, ``?``, ``[…]``, ``**``) means the
    same whether the shell resolves it or it comes in quotes. A file is taken whatever its extension, once.

    Returns:
        the sources in the order of the arguments, sorted within each, and the arguments that stand for nothing.
    """
    found: dict[Path, Path] = {}  # file → the folder that its name starts from
    skipped: list[Skipped] = []
    for argument in arguments:
        paths = [argument] if os.path.lexists(argument) else sorted(glob.glob(argument, recursive=True))
        base = _fixed_folder(argument) if paths != [argument] else None
        files = [(file, base or folder) for path in paths for file, folder in _files(Path(path))]
        if not files:
            skipped.append(Skipped(argument, _reason(argument, paths)))
        for file, folder in files:
            found.setdefault(Path(os.path.abspath(file)), Path(os.path.abspath(folder)))  # noqa: PTH100 - no links
    return _named(found), skipped


def _files(path: Path) -> Iterable[tuple[Path, Path]]:
    """The files that a path stands for, each with the folder that its name starts from."""
    if not path.is_dir():
        return [(path, path.parent)]
    every = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES | VIDEOS)
    return [(file, path) for file in every if file.is_file()]


def _fixed_folder(pattern: str) -> Path:
    """The folder of a glob before its first wildcard."""
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:first])


def _reason(argument: str, paths: Sequence[str]) -> str:
    if paths:
        return "holds no image and no video"
    return "matches nothing" if glob.has_magic(argument) else "does not exist"


def _named(found: dict[Path, Path]) -> list[Source]:
    if not found:
        return []
    root = Path(os.path.commonpath([str(folder) for folder in found.values()]))
    return [Source(path, path.relative_to(root).as_posix()) for path in found]
