"""The detector runtime: a bundle's model on images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pindet_serve.detections import Detections
from pindet_serve.engine import Engine, OpenEngine
from pindet_serve.images import Image
from pindet_serve.letterbox import Placement
from pindet_serve.manifest import Manifest, read_manifest, verify_files
from pindet_serve.onnx_engine import MODEL, OnnxRuntimeEngine

__all__ = ["MODEL", "Detector", "decode_answer"]


class Detector:
    """Answers with the model of a verified bundle.

    Args:
        bundle: folder that the export stage wrote.
        threads: CPU threads of one inference; 0 lets ONNX Runtime take every core.
        engine: opens what runs the model, once its files are verified; ONNX Runtime on the CPU when ``None``.

    Raises:
        BundleError: the bundle is incomplete, changed, of a newer schema, or its model does not fit the contract.
        DeviceMissingError: ``engine`` needs a device that is not there.
    """

    def __init__(self, bundle: Path, *, threads: int = 0, engine: OpenEngine | None = None) -> None:
        self.manifest: Manifest = read_manifest(bundle)
        verify_files(bundle, self.manifest)
        self._letterbox = self.manifest.letterbox()
        self.engine: Engine = (engine or partial(OnnxRuntimeEngine, threads=threads))(bundle, self.manifest)

    def detect(
        self, images: Sequence[Image], *, score_threshold: float | None = None, max_detections: int | None = None
    ) -> list[Detections]:
        """Find the objects in images of any size, all in one batch.

        Args:
            images: uint8 ``[H, W, 3]`` RGB each.
            score_threshold: least score of an answer, 0 to 1; the bundle's default when ``None``.
            max_detections: most objects in an answer, at most the bundle's own number, which is the default.

        Returns:
            one :class:`Detections` per image, in order, in pixels of that image.

        Raises:
            ValueError: a threshold or a number outside what is allowed.
        """
        threshold, limit = self.limits(score_threshold, max_detections)
        if not images:
            return []
        letterboxed, placements = zip(*map(self._letterbox, images), strict=True)
        boxes, scores, labels = self.infer(np.stack(letterboxed))
        return [
            decode_answer(boxes[i], scores[i], labels[i], placement, threshold, limit)
            for i, placement in enumerate(placements)
        ]

    def limits(self, score_threshold: float | None, max_detections: int | None) -> tuple[float, int]:
        """The two limits of an answer, the bundle's own where ``None``.

        Raises:
            ValueError: a threshold or a number outside what is allowed.
        """
        threshold = self.manifest.score_threshold if score_threshold is None else score_threshold
        limit = self.manifest.max_detections if max_detections is None else max_detections
        if not 0 <= threshold <= 1:
            raise ValueError(f"score_threshold is {threshold}; 0 to 1 is allowed")
        if not 1 <= limit <= self.manifest.max_detections:
            raise ValueError(
                f"max_detections is {limit}; 1 to {self.manifest.max_detections} is allowed for this bundle"
            )
        return threshold, limit

    def infer(
        self, images: NDArray[np.uint8], *, alone: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Run the model on letterboxed images uint8 ``[N, H, W, 3]`` RGB; ``alone`` is that of the engine.

        Returns:
            boxes float32 ``[N, K, 4]`` xyxy in letterboxed pixels, scores float32 ``[N, K]``, labels int64
            ``[N, K]``; places without an object have score 0.
        """
        return self.engine.infer(images, alone=alone)


def decode_answer(
    boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], placement: Placement, threshold: float, limit: int
) -> Detections:
    """One image's raw answer, in letterboxed pixels, as detections in pixels of the image."""
    # A score of exactly 0 is padding, whatever the threshold.
    kept = np.flatnonzero((scores > 0) & (scores >= threshold))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    found = Detections.in_image(boxes[kept], scores[kept], labels[kept], placement)
    return Detections(found.boxes[:limit], found.scores[:limit], found.labels[:limit])
