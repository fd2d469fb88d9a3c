"""Give the stage production its first release from a bundle in ``models/``, when nothing was promoted to it yet.

The bundle's files are put into the DVC remote as DVC keeps them, and a release file of version ``workspace`` names
them, so that the server follows one and the same file from the first start on. A release that was promoted is never
touched. Exits with 0 when there is a release file afterwards, and with 1, and the reason, otherwise.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release, ReleasedFile, folder_md5, parse_release

VERSION = "workspace"


def seed(bundle: Path, remote: Path, artifact: str = "detector", stage: str = "production") -> str:
    """Write the release file if it is needed; returns what was done.

    Raises:
        BundleError: there is neither a release nor a bundle.
        OSError: the remote can not be written.
    """
    path = remote / "releases" / artifact / f"{stage}.json"
    present = parse_release(path.read_text("utf-8"), str(path)) if path.is_file() else None
    if present is not None and present.version != VERSION:
        return f"{artifact} {present.version} is released"
    if not (bundle / "manifest.json").is_file():
        if present is not None:
            return f"{artifact} {present.version} {present.bundle_md5} is released"
        raise BundleError(f"nothing is promoted to {stage}, and models/bundle has no manifest.json; put a bundle there")
    files = tuple(_file(item, bundle) for item in sorted(bundle.rglob("*")) if item.is_file())
    release = Release(
        artifact, VERSION, stage, folder_md5(files), files, {"message": "from models/bundle, not promoted"}
    )
    if release == present:
        return f"{artifact} {VERSION} {release.bundle_md5} is released"
    for file in files:
        _put((bundle / file.path).read_bytes(), remote / file.key)
    entries = [{"md5": file.md5, "relpath": file.path} for file in sorted(files, key=lambda file: file.path)]
    md5 = release.bundle_md5
    _put(json.dumps(entries).encode(), remote / "files" / "md5" / md5[:2] / md5[2:])
    content = json.dumps(release.to_dict(), ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    _put(content.encode(), path, replace=True)
    return f"{artifact} {VERSION} {md5} released from models/bundle"


def _file(path: Path, bundle: Path) -> ReleasedFile:
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return ReleasedFile(path.relative_to(bundle).as_posix(), md5, path.stat().st_size, f"files/md5/{md5[:2]}/{md5[2:]}")


def _put(content: bytes, target: Path, *, replace: bool = False) -> None:
    """Write a file whole or not at all; an object that is there already is left alone unless ``replace``."""
    if target.is_file() and not replace and target.read_bytes() == content:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    shutil.move(file.name, target)


def main() -> str:
    """What was done: nothing where a release elsewhere, such as on S3, is followed.

    Raises:
        BundleError, OSError: as of :func:`seed`.
    """
    remote, source = Path(os.environ.get("PINDET_REMOTE", "/dvc/remote")), os.environ.get("PINDET_SOURCE", "")
    if source and not Path(source).is_relative_to(remote):
        return f"{source} is followed; nothing is made here"
    return seed(Path(os.environ.get("PINDET_BUNDLE", "/app/models/bundle")), remote)


if __name__ == "__main__":
    try:
        done = main()
        sys.stdout.write(f"release: {done}\n")
    except (BundleError, OSError) as error:
        sys.exit(f"release: {error}")
