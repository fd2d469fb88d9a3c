"""``manifest.json``: what a bundle says of itself, and the check that its files are what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pindet_serve.letterbox import RESAMPLINGS, Letterbox, Resampling

SCHEMA_VERSION = 3
"""Of what is written. Version 1 has neither :data:`_FORMATS` nor :data:`_RESAMPLING`, version 2 not the latter."""
PLAIN = "onnx"
"""The format that every bundle has, ``model.onnx``; it needs no entry among the formats."""
MANIFEST = "manifest.json"

_KINDS: dict[str, tuple[type, ...]] = {
    "classes": (list,),
    "image_height": (int,),
    "image_width": (int,),
    "letterbox_fill": (int,),
    "score_threshold": (float, int),
    "max_detections": (int,),
    "metrics": (dict,),
    "data_md5": (str,),
    "files": (dict,),
}
_FORMATS = "formats"
_RESAMPLING = "letterbox_resampling"
_FIRST_RESAMPLING: Resampling = "area"
"""The way to shrink images before a manifest named one."""


class BundleError(ValueError):
    """A bundle that must not be served; the message says what was seen and what was expected."""


@dataclass(frozen=True)
class ModelFormat:
    """The same model once more, in another format.

    Attributes:
        file: which it is, by path relative to the bundle.
        box_tolerance, score_tolerance: how far it may be from the golden answers, pixels and absolutely.
        metrics: test metrics of this format, by key (``test/map``).
    """

    file: str
    box_tolerance: float
    score_tolerance: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """The contents of ``manifest.json``.

    Attributes:
        classes: class names; a label is a position in this list.
        image_height: height of the letterboxed input, pixels.
        image_width: width of the letterboxed input, pixels.
        letterbox_fill: grey level around the image, 0–255.
        letterbox_resampling: how images are shrunk; see :mod:`pindet_serve.letterbox`.
        score_threshold: default for answers: best F1 on the validation split.
        max_detections: most objects an answer can hold.
        metrics: test metrics of the bundle, by key (``test/map``).
        data_md5: DVC's md5 of the prepared data.
        files: sha256 of each file of the bundle but the manifest, by path relative to it.
        formats: further formats of the model, by name (``int8``, ``pt2``).
    """

    classes: list[str]
    image_height: int
    image_width: int
    letterbox_fill: int
    letterbox_resampling: Resampling
    score_threshold: float
    max_detections: int
    metrics: dict[str, float]
    data_md5: str
    files: dict[str, str]
    formats: dict[str, ModelFormat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bad = [name for name in self.classes if not isinstance(name, str) or not name]
        if bad or not self.classes or len(set(self.classes)) != len(self.classes):
            raise BundleError(f"classes are {self.classes!r}; they must be unique, non-empty strings, at least one")
        for name in ("image_height", "image_width", "max_detections"):
            if getattr(self, name) < 1:
                raise BundleError(f"{name} is {getattr(self, name)}; at least 1 is allowed")
        if not 0 <= self.letterbox_fill <= 255:
            raise BundleError(f"letterbox_fill is {self.letterbox_fill}; a grey level from 0 to 255 is allowed")
        if self.letterbox_resampling not in RESAMPLINGS:
            allowed = ", ".join(RESAMPLINGS)
            raise BundleError(f"letterbox_resampling is {self.letterbox_resampling!r}; allowed are {allowed}")
        if not 0 <= self.score_threshold <= 1:
            raise BundleError(f"score_threshold is {self.score_threshold}; 0 to 1 is allowed")
        for name, described in self.formats.items():
            if described.file not in self.files:
                raise BundleError(f"format {name!r} is {described.file}, which is none of the bundle's files")

    def letterbox(self) -> Letterbox:
        """What brings images into the model's input."""
        return Letterbox(self.image_height, self.image_width, self.letterbox_fill, self.letterbox_resampling)

    def file_of(self, model_format: str, plain: str) -> str:
        """The file of a format; ``plain`` for :data:`PLAIN`.

        Raises:
            BundleError: the bundle does not have that format.
        """
        if model_format == PLAIN:
            return plain
        if model_format not in self.formats:
            known = ", ".join([PLAIN, *self.formats])
            raise BundleError(
                f"the bundle holds no format {model_format!r}, it holds {known}; add it to export.formats and export "
                "again"
            )
        return self.formats[model_format].file


def read_manifest(bundle: Path) -> Manifest:
    """Read the manifest of the bundle in a folder.

    Raises:
        BundleError: no manifest, no JSON, a key too many or too few, or a newer schema.
    """
    path = bundle / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{bundle} holds no {MANIFEST}; a bundle is the folder that the export stage wrote"
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is no JSON: {error}") from error
    return _parse(content, path)


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle whose other files are complete; equal manifests are equal bytes."""
    content = {"schema_version": SCHEMA_VERSION} | asdict(manifest)
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1) + "\n"
    (bundle / MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def list_files(bundle: Path) -> dict[str, str]:
    """The sha256 of each file in a bundle but the manifest, by path relative to it."""
    paths = sorted(path for path in bundle.rglob("*") if path.is_file())
    names = {path.relative_to(bundle).as_posix(): path for path in paths}
    return {name: sha256_of(path) for name, path in names.items() if name != MANIFEST}


def verify_files(bundle: Path, manifest: Manifest) -> None:
    """Compare every file of a bundle with its sha256 in the manifest.

    Raises:
        BundleError: a file is missing, changed, or not listed.
    """
    present = list_files(bundle)
    for name in sorted(manifest.files.keys() - present.keys()):
        raise BundleError(f"{bundle} lacks {name}, which its manifest lists; fetch the bundle again")
    for name in sorted(present.keys() - manifest.files.keys()):
        raise BundleError(f"{bundle} holds {name}, which its manifest does not list; fetch the bundle again")
    for name, expected in sorted(manifest.files.items()):
        if present[name] != expected:
            raise BundleError(f"{name} has sha256 {present[name]}, the manifest says {expected}: changed or truncated")


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(content: Any, path: Path) -> Manifest:
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds a {type(content).__name__}; allowed is an object")
    version = content.pop("schema_version", None)
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise BundleError(
            f"schema_version is {version!r}; this server reads 1 to {SCHEMA_VERSION}: upgrade pindet-serve"
        )
    formats = content.pop(_FORMATS, {}) if version >= 2 else {}
    kinds_of_all = _KINDS | ({_RESAMPLING: (str,)} if version >= 3 else {})
    if content.keys() != kinds_of_all.keys():
        lacks, extra = sorted(kinds_of_all.keys() - content.keys()), sorted(content.keys() - kinds_of_all.keys())
        raise BundleError(f"{path} lacks {lacks} and has the unknown keys {extra}; export the bundle again")
    for name, kinds in kinds_of_all.items():
        value = content[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise BundleError(f"{name} in {path} is {value!r}; allowed is {kinds[0].__name__}; export again")
    content.setdefault(_RESAMPLING, _FIRST_RESAMPLING)
    return Manifest(**content, formats=_parse_formats(formats, path))


def _parse_formats(content: Any, path: Path) -> dict[str, ModelFormat]:
    number = (int, float)
    kinds: dict[str, Any] = {"file": str, "box_tolerance": number, "score_tolerance": number, "metrics": dict}
    if not isinstance(content, Mapping):
        raise BundleError(f"{_FORMATS} in {path} is {content!r}; allowed is an object; export again")
    for name, described in content.items():
        fits = isinstance(described, Mapping) and described.keys() == kinds.keys()
        if not fits or not all(isinstance(described[key], kind) for key, kind in kinds.items()):
            allowed = ", ".join(kinds)
            raise BundleError(f"{_FORMATS}.{name} in {path} is {described!r}; allowed are {allowed}; export again")
    return {name: ModelFormat(**described) for name, described in content.items()}
