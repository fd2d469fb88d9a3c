"""The release file that servers watch: ``releases/<name>/<stage>.json`` in the DVC remote."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release, ReleasedFile, parse_release

from pindet.promotion.objects import ObjectError, Objects, key_of
from pindet.promotion.revision import BUNDLE, PREPARED, Revision
from pindet.promotion.truth import Placement

FOLDER = "releases"


def release_key(artifact: str, stage: str) -> str:
    """Where the release file of a stage is, from the root of the DVC remote."""
    return f"{FOLDER}/{artifact}/{stage}.json"


def card_key(artifact: str, version: str) -> str:
    """Where the model card of a version is, from the root of the DVC remote."""
    return f"{FOLDER}/{artifact}/{version}.md"


def bundle_files(objects: Objects, bundle_md5: str, coming: Collection[str] = ()) -> tuple[ReleasedFile, ...]:
    """The files of a bundle as the DVC remote lists them.

    Args:
        coming: md5s that are to be uploaded, and are listed as the cache has them.

    Raises:
        ObjectError: one is missing there.
    """
    entries = objects.listing(bundle_md5)
    sizes = objects.sizes(entry.md5 for entry in entries)
    sizes |= {md5: objects.read(md5).stat().st_size for md5 in sizes if md5 in coming}
    missing = [entry.path for entry in entries if sizes[entry.md5] is None]
    if missing:
        raise ObjectError(f"the DVC remote {objects.address} lacks {', '.join(missing)} of the bundle; run dvc push")
    return tuple(ReleasedFile(entry.path, entry.md5, sizes[entry.md5] or 0, key_of(entry.md5)) for entry in entries)


def make_release(
    placement: Placement, artifact: str, revision: Revision, files: tuple[ReleasedFile, ...], run: Mapping[str, Any]
) -> Release:
    """What the release file says of a version in a stage.

    Args:
        run: what MLflow knows of its training; may be empty.
    """
    moment = datetime.fromtimestamp(placement.tag.when, UTC)
    lineage = {
        "git_commit": placement.commit,
        "git_tag": placement.tag.name,
        "data_md5": revision.outs.get(PREPARED, ""),
        "mlflow": dict(run),
        "metrics": revision.metrics,
        "promoted_by": placement.tag.who,
        "promoted_at": moment.isoformat().replace("+00:00", "Z"),
        "message": placement.tag.message,
        "card": card_key(artifact, placement.version),
    }
    return Release(artifact, placement.version, placement.stage, revision.out(BUNDLE), files, lineage)


def read_release(objects: Objects, artifact: str, stage: str) -> Release | None:
    """The release file of a stage; ``None`` if there is none, or if it is none that a server would load."""
    key = release_key(artifact, stage)
    text = objects.texts.read(key)
    if text is None:
        return None
    try:
        return parse_release(text, key)
    except BundleError:
        return None


def says(release: Release | None, placement: Placement, revision: Revision) -> bool:
    """Whether a release file serves what the tags say, from the tag that says it."""
    return (
        release is not None
        and (release.version, release.stage) == (placement.version, placement.stage)
        and release.bundle_md5 == revision.out(BUNDLE)
        and release.lineage.get("git_commit") == placement.commit
        and release.lineage.get("git_tag") == placement.tag.name
        and all(file.key == key_of(file.md5) for file in release.files)
    )


def release_text(release: Release) -> str:
    """A release file's content; equal releases are equal bytes."""
    return json.dumps(release.to_dict(), ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1) + "\n"
