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


def shown(path: str) -> str:
    """A path that can be printed: bytes of it that are no UTF-8 become replacement characters."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def find_sources(arguments: Sequence[str], without: Path | None = None) -> tuple[list[Source], list[Skipped]]:
    """Resolve the arguments; nothing is opened yet.

    A folder stands for every image and video below it, by extension. A glob (``*``, ``?``, ``[…]``, ``**``) means the
    same whether the shell resolves it or it comes in quotes. A file is taken whatever its extension, once.

    Returns:
        the sources in the order of the arguments, sorted within each, and the arguments that stand for nothing.
        What lies below ``without`` is left out of the folders above it.
    """
    found: dict[Path, Path] = {}  # file → the folder that its name starts from
    skipped: list[Skipped] = []
    for argument in arguments:
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        paths = [argument] if os.path.lexists(argument) else matches
        files = [pair for path in paths for pair in _files(Path(path), without)]
        if not files:
            skipped.append(Skipped(shown(argument), _reason(argument, paths)))
        for file, folder in files:
            found.setdefault(Path(os.path.abspath(file)), Path(os.path.abspath(folder)))  # noqa: PTH100 - no links
    return _named(found), skipped


def _files(path: Path, without: Path | None) -> Iterable[tuple[Path, Path]]:
    """The files that a path stands for, each with the folder that its name starts from."""
    if not path.is_dir():
        return [(path, path.parent)]
    left_out = without and without.resolve()
    if left_out and path.resolve().is_relative_to(left_out):
        left_out = None  # asked for by name
    every = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES | VIDEOS)
    every = [file for file in every if file.is_file() or not file.exists()]  # a broken link is worth a word
    return [(file, path) for file in every if not left_out or not file.resolve().is_relative_to(left_out)]


def _reason(argument: str, paths: Sequence[str]) -> str:
    if paths:
        return "holds no image and no video"
    return "matches nothing" if glob.has_magic(argument) else "does not exist"


def _named(found: dict[Path, Path]) -> list[Source]:
    if not found:
        return []
    root = Path(os.path.commonpath([str(folder) for folder in found.values()]))
    return [Source(path, path.relative_to(root).as_posix()) for path in found]
