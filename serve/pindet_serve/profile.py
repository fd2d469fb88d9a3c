"""``profile.json``: what the model's input and answers look like on the data that it was tested on.

A server compares what it sees with it. The file is optional; a bundle without it has no reference. All shares are of
histograms with fixed bins, so that profiles of different bundles compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pindet_serve.detections import Detections
from pindet_serve.images import Image
from pindet_serve.letterbox import Placement
from pindet_serve.manifest import BundleError

PROFILE = "profile.json"
SCHEMA_VERSION = 1
BRIGHTNESS_EDGES = np.linspace(0, 256, 17)
SCORE_EDGES = np.linspace(0, 1, 21)
SIZE_EDGES = np.array([0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 1])
COUNT_EDGES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 32, np.inf])


@dataclass(frozen=True)
class Measures:
    """What a profile counts of one image.

    Attributes:
        brightness: mean grey level, 0–255.
        scores: by class, of the objects at the model's own threshold.
        sizes: by class, side of the square of a box's area, as a share of the image's: 0–1.
    """

    brightness: float
    scores: dict[int, list[float]]
    sizes: dict[int, list[float]]


@dataclass(frozen=True)
class ClassProfile:
    """Of one class: histograms of scores and sizes, and of how many there are in an image."""

    scores: list[int]
    sizes: list[int]
    counts: list[int]


@dataclass(frozen=True)
class Profile:
    """Of some images.

    Attributes:
        images: how many.
        brightness: histogram over :data:`BRIGHTNESS_EDGES`.
        classes: by class name.
    """

    images: int
    brightness: list[int]
    classes: dict[str, ClassProfile]


def measure(canvas: Image, placement: Placement, found: Detections) -> Measures:
    """Measure one image.

    Args:
        canvas: letterboxed, uint8 ``[H, W, 3]`` RGB.
        placement: where the image lies in it.
        found: at the model's own threshold, in pixels of the image.
    """
    rows = slice(placement.top, placement.top + placement.resized_height)
    columns = slice(placement.left, placement.left + placement.resized_width)
    areas = (found.boxes[:, 2] - found.boxes[:, 0]) * (found.boxes[:, 3] - found.boxes[:, 1])
    sides = np.sqrt(np.maximum(areas, 0) / (placement.image_width * placement.image_height))
    scores: dict[int, list[float]] = {}
    sizes: dict[int, list[float]] = {}
    for label, score, side in zip(found.labels.tolist(), found.scores.tolist(), sides.tolist(), strict=True):
        scores.setdefault(label, []).append(score)
        sizes.setdefault(label, []).append(side)
    brightness = sum(cv2.mean(canvas[rows, columns])[:3]) / 3
    return Measures(brightness, scores, sizes)


def profile_of(measured: Iterable[Measures], classes: list[str]) -> Profile:
    """Put the measures of images together; the order does not matter."""
    every = list(measured)
    return Profile(
        images=len(every),
        brightness=histogram([one.brightness for one in every], BRIGHTNESS_EDGES).tolist(),
        classes={
            name: ClassProfile(
                scores=histogram([s for one in every for s in one.scores.get(i, [])], SCORE_EDGES).tolist(),
                sizes=histogram([s for one in every for s in one.sizes.get(i, [])], SIZE_EDGES).tolist(),
                counts=histogram([len(one.scores.get(i, [])) for one in every], COUNT_EDGES).tolist(),
            )
            for i, name in enumerate(classes)
        },
    )


def histogram(values: list[float] | list[int], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Count values into bins; those outside go into the outermost."""
    inside = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(inside, minlength=len(edges) - 1).astype(np.int64)


def write_profile(bundle: Path, profile: Profile) -> None:
    """Write ``profile.json`` into a bundle that is being made; equal profiles are equal bytes."""
    content = {"schema_version": SCHEMA_VERSION} | asdict(profile)
    text = json.dumps(content, ensure_ascii=False, sort_keys=True) + "\n"
    (bundle / PROFILE).write_text(text, encoding="utf-8", newline="\n")


def read_profile(bundle: Path, classes: list[str]) -> Profile | None:
    """Read the profile of a verified bundle; ``None`` when it has none, or one of a schema that is not known here.

    Raises:
        BundleError: it is damaged, or of other classes.
    """
    path = bundle / PROFILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema_version") != SCHEMA_VERSION:
            return None
        parts = {name: ClassProfile(**part) for name, part in content.pop("classes").items()}
        profile = Profile(**content, classes=parts)
        _check(profile, classes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{PROFILE} is no profile of {classes}: {error!r}; export the bundle again") from error
    return profile


def _check(profile: Profile, classes: list[str]) -> None:
    if profile.classes.keys() != set(classes):
        raise ValueError(f"its classes are {sorted(profile.classes)}")
    lists = [(profile.brightness, BRIGHTNESS_EDGES)]
    for part in profile.classes.values():
        lists += [(part.scores, SCORE_EDGES), (part.sizes, SIZE_EDGES), (part.counts, COUNT_EDGES)]
    for counts, edges in lists:
        if len(counts) != len(edges) - 1 or not all(isinstance(count, int) and count >= 0 for count in counts):
            raise ValueError(f"a histogram has {len(counts)} bins, {len(edges) - 1} counts are allowed")
