"""What a request asks of its answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pindet_serve.manifest import Manifest


@dataclass(frozen=True)
class Wanted:
    """Limits of an answer; ``None`` is the model's own.

    Attributes:
        score_threshold: least score, 0 to 1.
        max_detections: most objects in an image.
        classes: only objects of these classes.
    """

    score_threshold: float | None = None
    max_detections: int | None = None
    classes: tuple[str, ...] | None = None

    def check(self, manifest: Manifest) -> None:
        """Compare with what a model can give.

        Raises:
            ValueError: a limit outside what is allowed, or a class the model does not know.
        """
        threshold, most = self.score_threshold, self.max_detections
        if threshold is not None and (math.isnan(threshold) or not 0 <= threshold <= 1):
            raise ValueError(f"score_threshold is {threshold}; 0 to 1 is allowed")
        if most is not None and not 1 <= most <= manifest.max_detections:
            raise ValueError(f"max_detections is {most}; 1 to {manifest.max_detections} is allowed for this model")
        if unknown := sorted(set(self.classes or ()) - set(manifest.classes)):
            raise ValueError(f"unknown classes {unknown}; allowed are {manifest.classes}")
