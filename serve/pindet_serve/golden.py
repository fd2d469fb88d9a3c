"""Golden answers: a few images in the bundle and what its model must answer on them.

:func:`load_proven` is how a bundle is loaded wherever it is used. ``golden/answers.json`` holds
``{"box_tolerance": pixels, "score_tolerance": 0–1, "score_threshold": 0–1, "answers": [{"image": file name,
"boxes": [[x1, y1, x2, y2], …], "scores": […], "labels": […]}, …]}``, the boxes in pixels of the image. An engine of
half precision is held to :data:`HALF` times the tolerances, one that runs another format of the model to those that the
manifest gives for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pindet_serve.detections import Detections
from pindet_serve.detector import Detector
from pindet_serve.images import Image, ImageDecodeError, decode_image
from pindet_serve.manifest import BundleError

FOLDER = "golden"
ANSWERS = "answers.json"
HALF = 8.0
"""How much further an engine of half precision may be from the golden answers."""


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
        listed.append({"image": name} | _rounded(answer))
    (folder / ANSWERS).write_text(json.dumps(content | {"answers": listed}, indent=1) + "\n", encoding="utf-8")


def load_proven(bundle: Path, *, threads: int = 0) -> Detector:
    """Load a bundle, check its files against their hashes, and run its golden images.

    Args:
        bundle: folder that the export stage wrote.
        threads: CPU threads of one inference; 0 lets ONNX Runtime take every core.

    Raises:
        BundleError: the bundle is incomplete, changed, of a newer schema, or answers otherwise than it should.
    """
    detector = Detector(bundle, threads=threads)
    prove(detector, bundle)
    return detector


def prove(detector: Detector, bundle: Path) -> int:
    """Run the golden images of a bundle and compare the answers.

    An object that is not expected is allowed when its score lies within the tolerance of the threshold.

    Returns:
        how many images were proved; at least 1.

    Raises:
        BundleError: no golden answers, or one that differs by more than its tolerance.
    """
    path = bundle / FOLDER / ANSWERS
    if not path.is_file():
        raise BundleError(f"{bundle} holds no {FOLDER}/{ANSWERS}; export the bundle again")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tolerance = Tolerance(content["box_tolerance"], content["score_tolerance"])
        if (own := detector.manifest.formats.get(detector.engine.model_format)) is not None:
            tolerance = Tolerance(own.box_tolerance, own.score_tolerance)
        if detector.engine.half:
            tolerance = Tolerance(HALF * tolerance.box, HALF * tolerance.score)
        threshold = float(content["score_threshold"])
        expected = [(str(answer["image"]), _detections(answer)) for answer in content["answers"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} holds no golden answers: {error!r}; export the bundle again") from error
    if not expected:
        raise BundleError(f"{path} holds no answer; a bundle that proves nothing is not served")
    for name, answer in expected:
        try:
            image = decode_image((path.parent / name).read_bytes())
        except (OSError, ImageDecodeError) as error:
            raise BundleError(f"golden image {name} cannot be read: {error}; export the bundle again") from error
        (seen,) = detector.detect([image], score_threshold=max(0.0, threshold - tolerance.score))
        _compare(seen, answer, tolerance, threshold, name)
    return len(expected)


def _rounded(answer: Detections) -> dict[str, list[Any]]:
    # Far below any tolerance, and short to read.
    return {
        "boxes": np.round(answer.boxes.astype(np.float64), 2).tolist(),
        "scores": np.round(answer.scores.astype(np.float64), 4).tolist(),
        "labels": answer.labels.tolist(),
    }


def _detections(answer: dict[str, Any]) -> Detections:
    return Detections(
        np.array(answer["boxes"], np.float32).reshape(-1, 4),
        np.array(answer["scores"], np.float32),
        np.array(answer["labels"], np.int64),
    )


def _compare(seen: Detections, expected: Detections, tolerance: Tolerance, threshold: float, name: str) -> None:
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
        if not (box_error <= tolerance.box and score_error <= tolerance.score):  # nor is NaN within a tolerance
            raise BundleError(
                f"golden image {name}, label {label}: box off by {box_error:.3g} pixels (allowed {tolerance.box}), "
                f"score off by {score_error:.3g} (allowed {tolerance.score})"
            )
    extra = [i for i in unused if not seen.scores[i] <= threshold + tolerance.score]
    if extra:
        count = len(expected) + len(extra)
        raise BundleError(f"golden image {name}: {count} objects were found, {len(expected)} are expected")
