"""What a detector answers for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pindet_serve.letterbox import Boxes, Placement


@dataclass(frozen=True)
class Detections:
    """The objects found in one image, best score first.

    Attributes:
        boxes: float32 ``[N, 4]``, xyxy in pixels of the displayed image.
        scores: float32 ``[N]``, 0–1.
        labels: int64 ``[N]``, positions in the ordered class names of the bundle.

    Raises:
        ValueError: the three do not fit together.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,) or self.labels.shape != (count,):
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and labels {self.labels.shape} do not fit; "
                "allowed are [N, 4], [N] and [N]"
            )

    @classmethod
    def in_image(
        cls, boxes: Boxes, scores: NDArray[np.float32], labels: NDArray[np.int64], placement: Placement
    ) -> Detections:
        """What was found in a letterboxed image, in pixels of the image itself and clipped to it.

        A box of which nothing is left, because it lies beside the image or has no area, is left out.
        """
        placed = placement.to_image(boxes)
        kept = (placed[:, 2] > placed[:, 0]) & (placed[:, 3] > placed[:, 1])
        return cls(placed[kept], scores[kept], labels[kept])

    def __len__(self) -> int:
        return len(self.scores)
