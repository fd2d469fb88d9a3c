"""Whether what is released can be served: every object of every release file, held to its md5."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import parse_release

from pindet.promotion.objects import ObjectError, Objects
from pindet.promotion.settings import read_settings


@dataclass
class Verified:
    """What was seen.

    Attributes:
        releases: version and bundle md5 of each stage.
        damaged: what is wrong, one line each.
        objects: how many objects were read.
    """

    releases: dict[str, dict[str, str]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    objects: int = 0


def release_texts(project: Path) -> dict[str, str]:
    """What each release file of the project's artifact says, by its name; empty for one that vanished meanwhile.

    Raises:
        PromotionError: the remote can not be reached, or ``promotion.yaml`` can not be read.
    """
    artifact = read_settings(project).artifact
    objects = Objects(project)
    try:
        return _texts(objects, artifact)
    finally:
        objects.close()


def every_release_text(project: Path) -> dict[str, str]:
    """The same of every artifact that has release files in the remote, by artifact and name.

    Raises:
        PromotionError: as of :func:`release_texts`.
    """
    artifact = read_settings(project).artifact
    objects = Objects(project)
    try:
        artifacts = {artifact, *(name for name in objects.texts.names("releases") if not name.startswith("."))}
        return {f"{each}/{name}": text for each in artifacts for name, text in _texts(objects, each).items()}
    finally:
        objects.close()


def _texts(objects: Objects, artifact: str) -> dict[str, str]:
    names = [name for name in objects.texts.names(f"releases/{artifact}") if name.endswith(".json") and name[0] != "."]
    return {name: objects.texts.read(f"releases/{artifact}/{name}") or "" for name in names}


def verify(project: Path, texts: dict[str, str]) -> Verified:
    """Read every object in the DVC remote that a release file names.

    Raises:
        PromotionError: the remote can not be reached.
    """
    result = Verified()
    objects = Objects(project)
    try:
        for name, text in texts.items():
            _verify_stage(objects, name, text, result)
    finally:
        objects.close()
    return result


def _verify_stage(objects: Objects, name: str, text: str, result: Verified) -> None:
    try:
        release = parse_release(text, name)
    except BundleError as error:
        result.damaged.append(str(error))
        return
    result.releases[name.removesuffix(".json")] = {"version": release.version, "md5": release.bundle_md5}
    with tempfile.TemporaryDirectory() as folder:
        for file in release.files:
            result.objects += 1
            try:
                objects.download(file.md5, Path(folder) / "object")
            except ObjectError as error:
                result.damaged.append(f"{release.version} {file.path}: {error}")
