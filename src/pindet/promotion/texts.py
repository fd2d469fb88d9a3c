"""Texts beside the objects of a DVC remote: release files and model cards."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

from pindet.files import write_text


class Texts:
    """Texts in a remote, by their path from its root.

    Args:
        fs: DVC's file system of the remote.
        root: of the remote, as that file system writes it.
        reaching: turns that file system's errors into one that names the remote.
    """

    def __init__(self, fs: Any, root: str, reaching: Callable[[], AbstractContextManager[None]]) -> None:
        self._fs, self._root, self._reaching = fs, root, reaching

    def read(self, key: str) -> str | None:
        """A text; ``None`` if there is none."""
        self._forget()
        try:
            with self._reaching():
                content: bytes = self._fs.cat_file(self._path(key))
        except FileNotFoundError:
            return None
        return content.decode("utf-8", "replace")

    def write(self, key: str, text: str) -> None:
        """Write a text; a reader sees the old one or the new one, whole."""
        path = self._path(key)
        with tempfile.TemporaryDirectory() as folder, self._reaching():
            self._fs.makedirs(self._fs.parent(path))
            if self._fs.protocol == "local":
                write_text(Path(path), text)
                return
            new = Path(folder) / "new"
            new.write_text(text, encoding="utf-8", newline="\n")
            self._fs.put_file(str(new), path)

    def remove(self, key: str) -> None:
        """Remove a text; one that is not there is no error."""
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted."""
        self._forget()
        try:
            with self._reaching():
                found = self._fs.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(PurePosixPath(str(path).replace("\\", "/")).name for path in found)

    def _path(self, key: str) -> str:
        return str(self._fs.join(self._root, key))

    def _forget(self) -> None:
        """Listings that a file system remembers would hide what others did meanwhile."""
        with contextlib.suppress(AttributeError):
            self._fs.fs.invalidate_cache()
