"""Where releases come from: a project's workspace, a release file on disk, or one on S3."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release, ReleasedFile, parse_release


class Source(Protocol):
    """Says which release is to be served, and gives its files."""

    def pinned(self) -> Release:
        """The release to serve now.

        Raises:
            BundleError: there is none, it can not be reached, or it is not what its pin says.
        """

    def fetch(self, file: ReleasedFile, target: Path) -> None:
        """Write the bytes of a released file to ``target``.

        Raises:
            BundleError or OSError: they can not be had.
        """


class ReleaseFileSource:
    """A release file in a DVC remote on disk: ``<remote>/releases/<name>/<stage>.json``; keys start at the remote."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._remote = self._path.parents[min(2, len(self._path.parents) - 1)]

    def pinned(self) -> Release:
        """Read the release file."""
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"the release file {self._path} can not be read: {error}") from error
        return parse_release(text, str(self._path))

    def fetch(self, file: ReleasedFile, target: Path) -> None:
        """Copy a file out of the remote."""
        shutil.copyfile(self._remote / file.key, target)


def open_source(address: str) -> Source:
    """Open a source by its address: a folder, ``….json``, or ``s3://bucket/key.json``.

    Raises:
        BundleError: the address is none of these, or S3 is asked for without the extra.
    """
    if address.startswith("s3://"):
        from pindet_serve.serving.s3 import S3Source

        return S3Source(address)
    if address.endswith(".json"):
        return ReleaseFileSource(Path(address))
    if not Path(address).is_dir():
        raise BundleError(f"source is {address!r}, no folder; allowed are a project folder, a .json file and s3://…")
    from pindet_serve.serving.workspace import WorkspaceSource

    return WorkspaceSource(Path(address))
