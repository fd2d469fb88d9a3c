"""The local store: released files by md5, and bundles put together from them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release, ReleasedFile

Fetch = Callable[[ReleasedFile, Path], None]
"""Writes a released file's bytes to a path; raises OSError or BundleError when it can not."""


class Store:
    """Keeps fetched files under ``root/files/md5`` and whole bundles under ``root/bundles``.

    A file is kept only after its bytes proved to have its md5; a bundle appears whole or not at all.
    """

    def __init__(self, root: Path) -> None:
        self._files = root / "files" / "md5"
        self._bundles = root / "bundles"

    def bundle(self, release: Release, fetch: Fetch) -> Path:
        """Return the folder of a release's bundle, fetching what is not here yet or was damaged here.

        Raises:
            BundleError: a file that can not be fetched, or whose bytes are not what was released.
        """
        folder = self._bundles / release.bundle_md5.removesuffix(".dir")
        if _is_intact(folder, release):
            return folder
        self._bundles.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._bundles, prefix=".new-") as temporary:
            made = Path(temporary) / "bundle"
            for file in release.files:
                kept = self._file(file, fetch)
                target = made / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(kept, target)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        return folder

    def keep_only(self, bundle_md5s: Collection[str]) -> None:
        """Remove every bundle but these, and the files that only the removed ones had."""
        kept = {md5.removesuffix(".dir") for md5 in bundle_md5s}
        for folder in self._bundles.glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        for file in self._files.glob("??/*"):
            with contextlib.suppress(OSError):
                if file.stat().st_nlink == 1:
                    file.unlink()

    def _file(self, file: ReleasedFile, fetch: Fetch) -> Path:
        kept = self._files / file.md5[:2] / file.md5[2:]
        if kept.is_file() and _md5_of(kept) == file.md5:
            return kept
        kept.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=kept.parent, prefix=".new-")
        os.close(handle)
        new = Path(name)
        try:
            fetch(file, new)
            seen = _md5_of(new)
            if seen != file.md5:
                raise BundleError(
                    f"{file.path} has md5 {seen} and {new.stat().st_size} bytes, released were {file.md5} and "
                    f"{file.size}: changed, truncated or swapped"
                )
            new.replace(kept)
        except OSError as error:
            raise BundleError(f"{file.path} can not be fetched: {error}") from error
        finally:
            new.unlink(missing_ok=True)
        return kept


def _is_intact(folder: Path, release: Release) -> bool:
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return present == {file.path for file in release.files} and all(
        _md5_of(folder / file.path) == file.md5 for file in release.files
    )


def _link(kept: Path, target: Path) -> None:
    try:
        os.link(kept, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(kept, target)


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
