"""Remove objects from the DVC remote that nothing refers to: no branch, no tag, no commit, no release file.

    docker compose … exec -T dvc python /opt/pindet/stack/unreferenced.py [--remove] [--older-than DAYS]

Without ``--remove`` it only says what could go. What came in the last days stays, as its commit may be on its way.
If anything that is referred to can not be listed, nothing is removed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from pindet_serve.serving.release import parse_release
from released import release_texts

DAY_S = 86400.0


def referenced(root: Path) -> set[str]:
    """md5s of everything that a commit or a release file of the project refers to, listings with their files.

    Raises:
        Exception: a listing is missing, or a release file can not be read: not all that is referred to is known.
    """
    kept: set[str] = set()
    with Repo(str(root)) as repo:
        used = repo.used_objs(all_branches=True, all_tags=True, all_commits=True, force=False)
        for objects in used.values():
            kept |= {str(item.value) for item in objects if item.value}
    for name, text in release_texts(root).items():
        release = parse_release(text, name)
        kept |= {release.bundle_md5, *(file.md5 for file in release.files)}
    return kept


def unreferenced(root: Path, older_than_s: float, now: float) -> tuple[Any, dict[str, int]]:
    """The remote's store, and what could be removed from it: path and size in bytes of each object."""
    kept = referenced(root)
    with Repo(str(root)) as repo:
        store = repo.cloud.get_remote_odb(name=None, command="gc -c", hash_name="md5")
        found: dict[str, int] = {}
        for md5 in store.all():
            if md5 in kept:
                continue
            path = store.oid_to_path(md5)
            info = store.fs.info(path)
            if now - _changed(info) >= older_than_s:
                found[path] = int(info["size"])
        return store, found


def _changed(info: dict[str, Any]) -> float:
    """When an object was written, seconds since 1970, as local and S3 file systems tell it."""
    when = info.get("mtime", info.get("LastModified", info.get("last_modified")))
    if when is None:
        return time.time()  # unknown: as if new
    return float(when.timestamp() if hasattr(when, "timestamp") else when)


def main() -> int:
    """List or remove."""
    parser = argparse.ArgumentParser(description="Remove objects from the DVC remote that nothing refers to.")
    parser.add_argument("--remove", action="store_true")
    parser.add_argument("--older-than", type=float, default=14.0, metavar="DAYS")
    given = parser.parse_args()
    root = Path(os.environ.get("AGENT_PROJECT", "/dvc/work/project"))
    try:
        store, found = unreferenced(root, given.older_than * DAY_S, time.time())
    except Exception as error:  # git, DVC and each kind of remote have families of their own; all mean the same here
        sys.stderr.write(f"unreferenced: nothing was removed, as not all that is referred to is known: {error}\n")
        return 1
    if given.remove:
        for path in found:
            store.fs.rm_file(path)
    verb = "removed" if given.remove else "could go"
    sys.stdout.write(f"DVC remote: {len(found)} unreferenced objects, {sum(found.values())} bytes {verb}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
