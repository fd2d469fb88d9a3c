"""A project's own workspace: ``models/bundle`` as ``dvc.lock`` pins it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import yaml

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release, ReleasedFile, folder_md5

BUNDLE = "models/bundle"


class WorkspaceSource:
    """The bundle in a project folder, held to the md5 that the project's ``dvc.lock`` has for it."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def pinned(self) -> Release:
        """Hash the workspace's bundle as DVC does and compare it with ``dvc.lock``."""
        locked = self._locked()
        folder = self._root / BUNDLE
        if not folder.is_dir():
            raise BundleError(f"{folder} is not there; run dvc checkout {BUNDLE}, or dvc repro")
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = tuple(_released(path, path.relative_to(folder).as_posix()) for path in paths)
        files = tuple(sorted(files, key=lambda file: file.path))
        seen = folder_md5(files)
        if seen != locked:
            raise BundleError(
                f"{BUNDLE} has md5 {seen}, dvc.lock pins {locked}; run dvc checkout {BUNDLE}, or dvc repro"
            )
        return Release("detector", "workspace", "", locked, files)

    def fetch(self, file: ReleasedFile, target: Path) -> None:
        """Copy a file out of the workspace."""
        shutil.copyfile(self._root / BUNDLE / file.key, target)

    def _locked(self) -> str:
        path = self._root / "dvc.lock"
        try:
            content = yaml.load(path.read_text("utf-8"), Loader=_Loader)
        except FileNotFoundError:
            raise BundleError(
                f"{self._root} has no dvc.lock: nothing was made there yet; run make repro in a project, or name with "
                "--source what is to be served: a project folder, a release file (.json) or s3://bucket/key.json"
            ) from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise BundleError(f"{path} can not be read: {error}") from error
        for md5 in _md5s(content):
            return md5
        raise BundleError(f"{path} pins no {BUNDLE}; run dvc repro")


# The parser written in C, where libyaml is there: a lock file of a sweep has thousands of lines.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _md5s(content: Any) -> list[str]:
    """The md5 of every out that is the bundle; at most one in a lock file that DVC wrote."""
    try:
        outs = [out for stage in content["stages"].values() for out in stage.get("outs", [])]
        return [str(out["md5"]) for out in outs if out["path"] == BUNDLE]
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"dvc.lock is not as DVC writes it: {type(error).__name__} {error}") from error


def _released(path: Path, relative: str) -> ReleasedFile:
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return ReleasedFile(relative, md5, path.stat().st_size, relative)
