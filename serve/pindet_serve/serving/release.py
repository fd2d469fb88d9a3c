"""A release: which bundle is to be served, file by file, and where it came from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pindet_serve.manifest import BundleError

_MD5 = re.compile(r"[0-9a-f]{32}")
_LONGEST = 64
_SAID = re.compile(rf"[!-~](?:[ -~]{{0,{_LONGEST - 2}}}[!-~])?")
"""What names a release is said in headers, figures and rows of history: printable ASCII, no blank at either end."""


class ReleaseError(BundleError):
    """What says of itself that it is a release, and can be none; the message says why."""


@dataclass(frozen=True)
class ReleasedFile:
    """One file of a bundle: its path in it, its md5 (32 hex digits), and its key in the store it is fetched from."""

    path: str
    md5: str
    size: int
    key: str

    def __post_init__(self) -> None:
        for name in ("path", "key", "md5"):
            if not isinstance(getattr(self, name), str):
                raise ReleaseError(f"{name} of a released file is {getattr(self, name)!r}; a text is allowed")
        if isinstance(self.size, bool) or not isinstance(self.size, int):
            raise ReleaseError(f"size of {self.path} is {self.size!r}; a number of bytes is allowed")
        for name in ("path", "key"):
            value = PurePosixPath(getattr(self, name))
            if value.is_absolute() or ".." in value.parts or not value.parts or "\\" in str(value):
                raise ReleaseError(f"{name} of a released file is {str(value)!r}; a relative path is allowed")
        if not _MD5.fullmatch(self.md5):
            raise ReleaseError(f"md5 of {self.path} is {self.md5!r}; 32 hexadecimal digits are allowed")


@dataclass(frozen=True)
class Release:
    """A bundle pinned by DVC, and its lineage.

    Attributes:
        name: name of the artifact, ``detector``; as version and stage, at most 64 characters of printable ASCII.
        version: ``v1.2.0``, or ``workspace`` for a bundle that was not promoted.
        stage: ``production``, …; empty for a workspace.
        bundle_md5: DVC's md5 of the bundle's folder, ending in ``.dir``.
        files: its files, sorted by path.
        lineage: what else the release says of itself: commit, MLflow run, metrics, who and when.

    Raises:
        ReleaseError: a name, version or stage that is none, or the files' md5s do not make the bundle's.
    """

    name: str
    version: str
    stage: str
    bundle_md5: str
    files: tuple[ReleasedFile, ...]
    lineage: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "version", "stage"):
            value = getattr(self, name)
            if (name, value) != ("stage", "") and not (isinstance(value, str) and _SAID.fullmatch(value)):
                raise ReleaseError(
                    f"{name} of the release is {ascii(value)[:100]}; 1 to {_LONGEST} characters of printable ASCII are "
                    "allowed, and no blank at either end"
                )
        seen = folder_md5(self.files)
        if seen != self.bundle_md5:
            raise ReleaseError(f"the files listed for {self.name} {self.version} make {seen}, not {self.bundle_md5}")

    @property
    def named(self) -> dict[str, str]:
        """What answers, events and figures call it: name, version and the md5 of its bundle."""
        return {"name": self.name, "version": self.version, "md5": self.bundle_md5}

    @property
    def identity(self) -> tuple[str, str, str]:
        """Version, bundle and the tag that released it: the same when only its file was written again."""
        return self.version, self.bundle_md5, str(self.lineage.get("git_tag", ""))

    def to_dict(self) -> dict[str, Any]:
        """As a release file holds it; the lineage's keys beside the others."""
        content = asdict(self)
        lineage = content.pop("lineage")
        return {**lineage, **content, "files": [asdict(file) for file in self.files]}


def folder_md5(files: Sequence[ReleasedFile]) -> str:
    """DVC 3's md5 of a folder: of the JSON list of its files' md5s and paths, sorted by path, and ``.dir``."""
    entries = [{"md5": file.md5, "relpath": file.path} for file in sorted(files, key=lambda file: file.path)]
    return f"{hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest()}.dir"


def parse_release(text: str, origin: str) -> Release:
    """Read a release file.

    Raises:
        ReleaseError: no JSON, a key missing, of the wrong type or with signs that it must not have, or md5s that do
            not fit together.
    """
    try:
        content = json.loads(text)
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # no answer could hold NaN or half a sign
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{origin} is no JSON: {error}") from error
    try:
        wanted = [{key: item[key] for key in ("path", "md5", "size", "key")} for item in content["files"]]
        files = [ReleasedFile(**item) for item in wanted]
        known = {key: content[key] for key in ("name", "version", "stage", "bundle_md5")}
        lineage = {key: value for key, value in content.items() if key not in known and key != "files"}
        return Release(**known, files=tuple(sorted(files, key=lambda file: file.path)), lineage=lineage)
    except (KeyError, TypeError) as error:
        raise ReleaseError(f"{origin} is no release file: {type(error).__name__} {error}") from error
