"""Remove objects from the DVC remote that nothing refers to: no commit, no tag, no experiment, no release file.

    docker compose … exec -T dvc python /opt/pindet/stack/unreferenced.py [--remove] [--older-than DAYS]

Without ``--remove`` it only says what could go. What came in the last days stays, as its commit may be on its way.
The clone is brought up to date first. If that fails, or something that is referred to can not be read, nothing goes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from pindet_serve.serving.release import parse_release
from project import open_project
from released import every_release_text

from pindet.promotion.objects import Objects

DAY_S = 86400.0
_MD5 = re.compile(r"\bmd5: '?([0-9a-f]{32}(?:\.dir)?)\b")


def pinned(root: Path) -> set[str]:
    """Every md5 in any ``dvc.lock`` or ``.dvc`` file that any ref of the clone ever had."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout

    listed = git("rev-list", "--all", "HEAD", "--objects", "--", "dvc.lock", "*.dvc")
    blobs = {name for name, _, path in (line.partition(" ") for line in listed.splitlines()) if _is_pin(path)}
    found: set[str] = set()
    for blob in blobs:
        found |= set(_MD5.findall(git("cat-file", "blob", blob)))
    return found


def _is_pin(path: str) -> bool:
    name = Path(path).name
    return name == "dvc.lock" or (name.endswith(".dvc") and name != ".dvc")


def referenced(root: Path) -> set[str]:
    """md5s of all that a commit or a release file refers to, listings of folders with the files that they list.

    Raises:
        Exception: something can not be read: not all that is referred to is known.
    """
    kept = pinned(root)
    for name, text in every_release_text(root).items():
        release = parse_release(text, name)
        kept |= {release.bundle_md5, *(file.md5 for file in release.files)}
    objects = Objects(root)
    try:
        # A listing that was never pushed has nothing here to keep.
        sizes = objects.sizes(md5 for md5 in kept if md5.endswith(".dir"))
        for md5, size in sizes.items():
            if size is not None:
                kept |= {entry.md5 for entry in objects.listing(md5)}
    finally:
        objects.close()
    return kept


def unreferenced(root: Path, older_than_s: float, now: float) -> tuple[Any, dict[str, int]]:
    """The remote's file system, and what could be removed from it: path and size in bytes of each object."""
    kept = referenced(root)
    with Repo(str(root)) as repo:
        store = repo.cloud.get_remote_odb(name=None, command="gc -c", hash_name="md5")
        found: dict[str, int] = {}
        for md5 in store.all():
            if md5 in kept:
                continue
            path = store.oid_to_path(md5)
            info = store.fs.info(path)
            if now - _changed(info, now) >= older_than_s:
                found[path] = int(info["size"])
        return store.fs, found


def _changed(info: dict[str, Any], now: float) -> float:
    """When an object was written, seconds since 1970, as local and S3 file systems tell it; unknown is as if new."""
    when = info.get("mtime", info.get("LastModified", info.get("last_modified", now)))
    return float(when.timestamp() if hasattr(when, "timestamp") else when)


def main() -> int:
    """List or remove."""
    parser = argparse.ArgumentParser(description="Remove objects from the DVC remote that nothing refers to.")
    parser.add_argument("--remove", action="store_true")
    parser.add_argument("--older-than", type=float, default=14.0, metavar="DAYS")
    given = parser.parse_args()
    project = open_project()
    try:
        project.follow()
        fs, found = unreferenced(project.root, given.older_than * DAY_S, time.time())
    except Exception as error:  # git, DVC and each kind of remote have families of their own; all mean the same here
        sys.stderr.write(f"unreferenced: nothing was removed, as not all that is referred to is known: {error}\n")
        return 1
    if given.remove:
        for path in found:
            fs.rm_file(path)
    verb = "removed" if given.remove else "could go"
    sys.stdout.write(f"DVC remote: {len(found)} unreferenced objects, {sum(found.values())} bytes {verb}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
