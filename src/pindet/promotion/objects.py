"""The objects of a project by md5: in DVC's cache here, and in the DVC remote that servers and others read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pindet.project import main_root
from pindet.promotion.errors import PromotionError
from pindet.promotion.progress import each
from pindet.promotion.texts import Texts

_LAYOUT = ("files", "md5")
_KEPT = ".pindet/objects"


class ObjectError(PromotionError):
    """An object is missing, damaged, or out of reach."""


@dataclass(frozen=True)
class Entry:
    """A file of a folder that DVC keeps: its path in it, with ``/``, and its md5."""

    path: str
    md5: str


class Objects:
    """DVC's cache and remote of a project.

    Every byte that is read is held to its md5, wherever it comes from.

    Attributes:
        has_releases: whether things were released, so that a remote without any object is not the one that is meant.

    Args:
        root: the project.
        remote: name of the DVC remote; ``None`` takes the project's default.

    Raises:
        PromotionError: there is no DVC project, or no such remote.
    """

    def __init__(self, root: Path, remote: str | None = None) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            self._repo: Any = Repo(str(root))
            self._cache: Any = self._repo.cache.local
            self._remote: Any = self._repo.cloud.get_remote(name=remote, command="push")
        except DvcException as error:
            raise PromotionError(f"no DVC remote to work with: {error}") from error
        self._fs: Any = self._remote.fs
        if self._remote.worktree or self._fs.version_aware:
            raise PromotionError(
                f"the DVC remote {self._remote.name} is cloud-versioned, where objects are not found by their md5; "
                "name another remote with --remote"
            )
        self._kept = main_root(root) / _KEPT
        self.has_releases = False
        self._forget()

    def close(self) -> None:
        """Let go of the project."""
        self._repo.close()

    @property
    def address(self) -> str:
        """Where the remote is, as DVC writes it, without credentials."""
        return str(self._fs.unstrip_protocol(self._remote.path)).removeprefix("file://")

    @property
    def absence(self) -> str:
        """Why a folder is not the remote that things were released from: made anew by a write, if nobody looks.

        Empty if it is, if nothing was released, or if the remote is no folder.
        """
        if self._fs.protocol != "local" or not self.has_releases:
            return ""
        root, said = Path(self._remote.path), f"the DVC remote {self.address}, from which things are released,"
        try:
            if root.joinpath(*_LAYOUT).is_dir():
                return ""
            is_there = root.is_dir()
        except OSError as error:  # what was mounted there does not answer
            return f"{said} can not be read: {error}"
        if not is_there:
            return f"{said} is not there; is it mounted?"
        return f"{said} holds no objects; is it mounted? One that is new is filled first (dvc push --all-tags)"

    @property
    def dvc(self) -> Any:
        """DVC's own view of the project."""
        return self._repo

    @property
    def texts(self) -> Texts:
        """What lies beside the objects in the remote."""
        return Texts(self._fs, str(self._remote.path), self._reaching)

    @property
    def remote_name(self) -> str:
        """What the project calls the remote."""
        return str(self._remote.name)

    @property
    def url(self) -> str:
        """Where the remote is, as ``dvc remote modify … url`` takes it from anywhere."""
        return self.address

    def cached(self, md5: str) -> Path | None:
        """An object in the cache here; ``None`` if it is not there or is damaged."""
        for path in self._places(md5):
            if path.is_file() and _md5_of(path) == md5.removesuffix(".dir"):
                return path
        return None

    def place(self, md5: str) -> Path | None:
        """As :meth:`cached`, but the object is not read: it may be damaged."""
        return next((path for path in self._places(md5) if path.is_file()), None)

    def sizes(self, md5s: Iterable[str]) -> dict[str, int | None]:
        """The size of each object as the remote lists it, bytes; ``None`` for what it does not have.

        Raises:
            ObjectError: the remote can not be asked.
        """
        wanted = sorted(set(md5s))
        self._forget()
        with self._reaching():
            found = self._fs.info([self._path(md5) for md5 in wanted], return_exceptions=True)
        result: dict[str, int | None] = {}
        for md5, info in zip(wanted, found, strict=True):
            if isinstance(info, FileNotFoundError):
                result[md5] = None
            elif isinstance(info, Exception):
                raise ObjectError(f"the DVC remote {self.address} can not be asked: {info}") from info
            else:
                result[md5] = int(info["size"])
        return result

    def upload(self, md5s: Iterable[str]) -> None:
        """Copy objects from the cache to the remote, in place of what is there, and say how far it is.

        Raises:
            ObjectError: one is not in the cache, or can not be written.
        """
        wanted = sorted(set(md5s), key=lambda md5: md5.endswith(".dir"))  # a listing follows what it lists
        paths = {md5: self.cached(md5) for md5 in wanted}
        for md5, path in paths.items():
            if path is None:
                raise ObjectError(f"{md5} is neither in the DVC remote nor intact in the cache here; run dvc repro")
        for md5 in each(wanted, f"uploading to {self.address}"):
            with self._reaching():
                self._fs.makedirs(self._fs.parent(self._path(md5)))
                self._fs.put_file(str(paths[md5]), self._path(md5))

    def download(self, md5: str, target: Path) -> None:
        """Write an object of the remote to a path, which appears whole or not at all.

        Raises:
            ObjectError: it is not there, or its bytes have another md5.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tmp-") as folder:
            new = Path(folder) / "object"
            try:
                with self._reaching():
                    self._fs.get_file(self._path(md5), str(new))
            except FileNotFoundError:
                raise ObjectError(f"{key_of(md5)} is missing in the DVC remote {self.address}") from None
            seen = _md5_of(new)
            if seen != md5.removesuffix(".dir"):
                raise ObjectError(
                    f"{key_of(md5)} in the DVC remote {self.address} has md5 {seen} and {new.stat().st_size} bytes: "
                    "it is damaged"
                )
            new.replace(target)

    def check(self, md5: str) -> None:
        """Read an object of the remote and hold it to its md5, without keeping it.

        Raises:
            ObjectError: it is not there, or its bytes have another md5.
        """
        with tempfile.TemporaryDirectory(prefix="pindet-") as folder:
            self.download(md5, Path(folder) / "object")

    def read(self, md5: str) -> Path:
        """An object's file: from the cache, else fetched from the remote and kept.

        Raises:
            ObjectError: it can be had from neither.
        """
        path = self.cached(md5)
        if path is None:
            path = self._kept.joinpath(*_parts(md5))
            self.download(md5, path)
        return path

    def listing(self, md5: str) -> list[Entry]:
        """The files of a folder that DVC keeps, sorted by path.

        Raises:
            ObjectError: the listing can not be had, or is none.
        """
        return entries(self.read(md5), md5)

    def _places(self, md5: str) -> tuple[Path, Path]:
        return Path(self._cache.oid_to_path(md5)), self._kept.joinpath(*_parts(md5))

    def _path(self, md5: str) -> str:
        return str(self._fs.join(self._remote.path, *_parts(md5)))

    def _forget(self) -> None:
        """Listings that a file system remembers would hide what others did meanwhile."""
        with contextlib.suppress(AttributeError):
            self._fs.fs.invalidate_cache()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        if self.absence:
            raise ObjectError(self.absence)
        try:
            yield
        except (FileNotFoundError, PromotionError):
            raise
        except Exception as error:  # each kind of remote has a family of errors of its own
            raise ObjectError(f"the DVC remote {self.address} can not be used: {error}") from error


def entries(listing: Path, md5: str) -> list[Entry]:
    """What the listing of a folder says, sorted by path.

    Raises:
        ObjectError: the file is no listing.
    """
    try:
        content = json.loads(listing.read_text("utf-8"))
        found = [Entry(str(item["relpath"]), str(item["md5"])) for item in content]
    except (ValueError, KeyError, TypeError) as error:
        raise ObjectError(f"{md5} is no listing of a folder: {error!r}") from error
    return sorted(found, key=lambda entry: entry.path)


def key_of(md5: str) -> str:
    """Where an object is, from the root of a remote."""
    return "/".join(_parts(md5))


def _parts(md5: str) -> tuple[str, ...]:
    if not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5):
        raise ObjectError(f"{md5!r} is no md5 of DVC's; allowed are 32 hexadecimal digits, with .dir for a folder")
    return (*_LAYOUT, md5[:2], md5[2:])


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
