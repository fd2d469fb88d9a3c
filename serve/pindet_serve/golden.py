"""Golden answers: a few images in the bundle and what its model must answer on them.

``golden/answers.json`` holds ``{"box_tolerance": pixels, "score_tolerance": 0–1, "score_threshold": 0–1, "answers":
[{"image": file name, "boxes": [[x1, y1, x2, y2], …], "scores": […], "labels": […]}, …]}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pindet_serve.detections import Detections
from pindet_serve.detector import Detector
from pindet_serve.images import Image, decode_image
from pindet_serve.manifest import BundleError

FOLDER = "golden"
ANSWERS = "answers.json"


@dataclass(frozen=True)
class Tolerance:
    """How far an engine may be from the golden answers: box corners in pixels, scores absolutely."""

    box: float
    score: float


def write_golden(
    bundle: Path, images: Sequence[Image], answers: Sequence[Detections], tolerance: Tolerance, score_threshold: float
) -> None:
    """Write the golden images (PNG, lossless) and answers into a bundle that is being made.

    The answers must have been made at ``score_threshold``; the manifest has to list the files afterwards.
    """
    folder = bundle / FOLDER
    folder.mkdir()
    content = {
        "box_tolerance": tolerance.box,
        "score_tolerance": tolerance.score,
        "score_threshold": score_threshold,
    }
    listed = []
    for number, (image, answer) in enumerate(zip(images, answers, strict=True)):
        name = f"{number:03d}.png"
        (folder / name).write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
        lists = {key: getattr(answer, key).tolist() for key in ("boxes", "scores", "labels")}
        listed.append({"image": name, **lists})
    (folder / ANSWERS).write_text(json.dumps(content | {"answers": listed}, indent=1) + "\n", encoding="utf-8")


def prove(detector: Detector, bundle: Path) -> int:
    """Run the golden images of a bundle and compare the answers.

    Returns:
        how many images were proved; at least 1.

    Raises:
        BundleError: no golden answers, or one that differs by more than its tolerance.
    """
    path = bundle / FOLDER / ANSWERS
    if not path.is_file():
        raise BundleError(f"{bundle} holds no {FOLDER}/{ANSWERS}; export the bundle again")
    content = json.loads(path.read_text(encoding="utf-8"))
    if not content["answers"]:
        raise BundleError(f"{path} holds no answer; a bundle that proves nothing is not served")
    tolerance = Tolerance(content["box_tolerance"], content["score_tolerance"])
    for expected in content["answers"]:
        image = decode_image((path.parent / expected["image"]).read_bytes())
        (seen,) = detector.detect([image], score_threshold=content["score_threshold"])
        answer = Detections(
            np.array(expected["boxes"], np.float32).reshape(-1, 4),
            np.array(expected["scores"], np.float32),
            np.array(expected["labels"], np.int64),
        )
        _compare(seen, answer, tolerance, expected["image"])
    return len(content["answers"])


def _compare(seen: Detections, expected: Detections, tolerance: Tolerance, name: str) -> None:
    if len(seen) != len(expected):
        raise BundleError(f"golden image {name}: {len(seen)} objects were found, {len(expected)} are expected")
    # Engines may order equal scores differently: each expected object takes its nearest unused answer of its class.
    unused = list(range(len(seen)))
    for box, score, label in zip(expected.boxes, expected.scores, expected.labels, strict=True):
        candidates = [i for i in unused if seen.labels[i] == label]
        if not candidates:
            raise BundleError(f"golden image {name}: an object of label {label} is expected and was not found")
        nearest = min(candidates, key=lambda i: float(np.abs(seen.boxes[i] - box).max()))
        unused.remove(nearest)
        box_error = float(np.abs(seen.boxes[nearest] - box).max())
        score_error = abs(float(seen.scores[nearest] - score))
        if box_error > tolerance.box or score_error > tolerance.score:
            raise BundleError(
                f"golden image {name}, label {label}: box off by {box_error:.3g} pixels (allowed {tolerance.box}), "
                f"score off by {score_error:.3g} (allowed {tolerance.score})"
            )
