"""One loaded, proved and warm model: what the batcher runs and what every answer names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pindet_serve.detections import Detections
from pindet_serve.detector import Detector, _decode
from pindet_serve.golden import prove
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox, Placement
from pindet_serve.manifest import Manifest
from pindet_serve.serving.engines import chosen_engine, open_detector
from pindet_serve.serving.release import Release
from pindet_serve.settings import Settings

Raw = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""A model's answer for one letterboxed image: boxes ``[K, 4]``, scores ``[K]``, labels ``[K]``; score 0 is padding."""


@dataclass(frozen=True)
class Model:
    """A release and the detector that answers with it."""

    release: Release
    detector: Detector
    engine: str

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.detector.manifest

    def letterboxed(self, image: Image) -> tuple[Image, Placement]:
        """Bring an image uint8 ``[H, W, 3]`` RGB into the model's input."""
        manifest = self.manifest
        return Letterbox(manifest.image_height, manifest.image_width, manifest.letterbox_fill)(image)

    def infer(self, canvases: list[Image]) -> list[Raw]:
        """Run the model on letterboxed images in one batch."""
        boxes, scores, labels = self.detector.infer(np.stack(canvases))
        return list(zip(boxes, scores, labels, strict=True))

    def answer(
        self,
        raw: Raw,
        placement: Placement,
        *,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Collection[int] | None = None,
    ) -> Detections:
        """The objects of one image, in its pixels, best first.

        Args:
            raw: what :meth:`infer` gave for it.
            placement: what :meth:`letterboxed` gave for it.
            score_threshold: least score, 0 to 1; the bundle's default when ``None``.
            max_detections: most objects; the bundle's own number when ``None``.
            labels: only objects with one of these labels; every one when ``None``.
        """
        threshold = self.manifest.score_threshold if score_threshold is None else score_threshold
        limit = self.manifest.max_detections
        found = _decode(*raw, placement, threshold, limit)
        kept = np.arange(len(found)) if labels is None else np.flatnonzero(np.isin(found.labels, list(labels)))
        kept = kept[: limit if max_detections is None else max_detections]
        return Detections(found.boxes[kept], found.scores[kept], found.labels[kept])


def load_model(release: Release, folder: Path, settings: Settings) -> Model:
    """Verify, open, prove and warm the bundle in ``folder``.

    Every batch size is run once, so that no request pays for the engine's first look at a shape.

    Raises:
        BundleError: the bundle is not what it says, or does not answer as it says.
    """
    detector = open_detector(folder, settings)
    prove(detector, folder)
    manifest = detector.manifest
    for size in range(1, settings.max_batch + 1):
        detector.infer(np.zeros((size, manifest.image_height, manifest.image_width, 3), np.uint8))
    return Model(release, detector, chosen_engine(settings))
