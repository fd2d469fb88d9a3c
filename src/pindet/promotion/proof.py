"""A bundle as servers get it: fetched from the DVC remote, each byte held to its md5, and its golden images run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pindet_serve.detector import Detector
from pindet_serve.golden import load_proven
from pindet_serve.manifest import BundleError, Manifest

from pindet.promotion.objects import Entry, ObjectError, Objects
from pindet.promotion.progress import each

Fetch = Callable[[str, Path], None]
"""Writes the object of an md5 to a path; raises ObjectError when it can not."""


def damaged(objects: Objects, md5: str, known: Collection[str]) -> list[str]:
    """The md5s of a bundle whose object the remote lacks or has with other bytes, the folder's listing included.

    Args:
        known: md5s that need not be looked at.
    """
    found = []
    names = [name for name in (md5, *(entry.md5 for entry in objects.listing(md5))) if name not in known]
    with tempfile.TemporaryDirectory() as folder:
        for name in each(names, "checking the remote"):
            try:
                objects.download(name, Path(folder) / "object")
            except ObjectError:
                found.append(name)
    return sorted(set(found))


def prove_remote(objects: Objects, md5: str) -> Manifest:
    """Fetch a bundle from the remote and let it prove itself.

    Raises:
        ObjectError: an object is missing or damaged.
        BundleError: it answers otherwise than it should.
    """
    with tempfile.TemporaryDirectory() as folder:
        objects.download(md5, Path(folder) / "listing")
        return _prove(objects.listing(md5), objects.download, Path(folder) / "bundle").manifest


def prove_cached(objects: Objects, md5: str) -> Manifest:
    """The same with what the cache has; only what it lacks is fetched."""
    with cached_bundle(objects, md5) as detector:
        return detector.manifest


@contextmanager
def cached_bundle(objects: Objects, md5: str) -> Iterator[Detector]:
    """The detector of a bundle from the cache, proven; only what the cache lacks is fetched.

    Raises:
        ObjectError, BundleError: as of :func:`prove_remote`.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield _prove(objects.listing(md5), _link(objects), Path(folder) / "bundle")


def _prove(entries: list[Entry], fetch: Fetch, folder: Path) -> Detector:
    for entry in entries:
        fetch(entry.md5, folder / entry.path)
    try:
        return load_proven(folder)
    except BundleError:
        raise
    except Exception as error:  # the engine has errors of its own for a model that it can not load
        raise BundleError(f"it can not be loaded: {error!r}") from error


def _link(objects: Objects) -> Fetch:
    def fetch(md5: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(objects.read(md5).read_bytes())

    return fetch
