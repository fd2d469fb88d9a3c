"""One loaded, proved and warm model: what the batcher runs and what every answer names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pindet_serve.detections import Detections
from pindet_serve.detector import Detector, decode_answer
from pindet_serve.golden import prove
from pindet_serve.images import Image
from pindet_serve.letterbox import Placement
from pindet_serve.manifest import Manifest
from pindet_serve.profile import read_profile
from pindet_serve.serving.drift import Drift
from pindet_serve.serving.engines import open_detector
from pindet_serve.serving.release import Release
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings

Raw = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""A model's answer for one letterboxed image: boxes ``[K, 4]``, scores ``[K]``, labels ``[K]``; score 0 is padding."""


@dataclass(frozen=True)
class Model:
    """A release, the detector that answers with it, and how far it drifts, where the bundle says from what."""

    release: Release
    detector: Detector
    drift: Drift | None = None

    @property
    def engine(self) -> str:
        """What runs it."""
        return self.detector.engine.name

    @property
    def device(self) -> str:
        """Where it runs."""
        return self.detector.engine.device

    @property
    def streams(self) -> int:
        """How many threads at a time may call :meth:`infer`; with more than one they do for each image."""
        return self.detector.engine.streams

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.detector.manifest

    def letterboxed(self, image: Image) -> tuple[Image, Placement]:
        """Bring an image uint8 ``[H, W, 3]`` RGB into the model's input."""
        return self.manifest.letterbox()(image)

    def infer(self, canvases: list[Image], *, alone: bool = True) -> list[Raw]:
        """Run the model on letterboxed images in one batch; ``alone`` says that nothing else wants the processor."""
        boxes, scores, labels = self.detector.infer(np.stack(canvases), alone=alone)
        return list(zip(boxes, scores, labels, strict=True))

    def answer(self, raw: Raw, placement: Placement, wanted: Wanted) -> Detections:
        """The objects of one image, in its pixels, best first.

        Args:
            raw: what :meth:`infer` gave for it.
            placement: what :meth:`letterboxed` gave for it.
            wanted: limits, checked against this model.
        """
        manifest = self.manifest
        threshold = manifest.score_threshold if wanted.score_threshold is None else wanted.score_threshold
        found = decode_answer(*raw, placement, threshold, manifest.max_detections)
        if wanted.classes is not None:
            kept = np.isin(found.labels, [manifest.classes.index(name) for name in wanted.classes])
            found = Detections(found.boxes[kept], found.scores[kept], found.labels[kept])
        most = wanted.max_detections
        return Detections(found.boxes[:most], found.scores[:most], found.labels[:most])

    def described(self, found: Detections, placement: Placement) -> dict[str, Any]:
        """One image's answer as JSON has it; coordinates to a hundredth of a pixel."""
        rows = zip(
            found.boxes.astype(float).round(2).tolist(),
            found.scores.astype(float).round(4).tolist(),
            found.labels.tolist(),
            strict=True,
        )
        detections = [
            {
                "label": self.manifest.classes[label],
                "label_id": label,
                "score": score,
                "box": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
            }
            for box, score, label in rows
        ]
        width, height = placement.image_width, placement.image_height
        return {"image_width": width, "image_height": height, "detections": detections}


def load_model(release: Release, folder: Path, settings: Settings) -> Model:
    """Verify, open, prove and warm the bundle in ``folder``.

    What will be asked for is run once, so that no request pays for the engine's first look at a shape: every batch
    size, or an image alone and one on each stream.

    Raises:
        BundleError: the bundle is not what it says, or does not answer as it says.
    """
    detector = open_detector(folder, settings)
    prove(detector, folder)
    manifest = detector.manifest
    streams = detector.engine.streams
    for size in (1, streams) if streams > 1 else range(1, settings.max_batch + 1):
        detector.infer(np.zeros((size, manifest.image_height, manifest.image_width, 3), np.uint8))
    profile = read_profile(folder, manifest.classes)
    return Model(release, detector, None if profile is None else Drift(profile, manifest.classes))
