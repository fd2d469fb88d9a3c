"""A model's answer for images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pindet_serve.detections import Detections
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox, Placement
from torch import Tensor

from pindet.models.contract import DetectionModel
from pindet.models.postprocess import Postprocess, Selection, select


class Predictor:
    """Letterboxes images, asks the model in batches and maps its boxes back.

    Args:
        model: is put into evaluation mode and moved to ``device``.
        postprocess: how its candidates become detections.
        device: a torch device.
        batch_size: images at a time, at least 1.
    """

    def __init__(
        self, model: DetectionModel, postprocess: Postprocess, device: str = "cpu", batch_size: int = 16
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; at least 1 is allowed")
        self._model = model.to(device).eval()
        self._postprocess = postprocess.of(model)
        self._device = device
        self._batch_size = batch_size
        self._letterbox = Letterbox(model.image_height, model.image_width)

    def __call__(self, images: Sequence[Image]) -> list[Detections]:
        """Find the objects in images uint8 ``[H, W, 3]`` RGB; boxes come in pixels of each image, clipped to it."""
        found: list[Detections] = []
        for start in range(0, len(images), self._batch_size):
            batch = [self._letterbox(image) for image in images[start : start + self._batch_size]]
            found += self._detect([image for image, _ in batch], [placement for _, placement in batch])
        return found

    @torch.inference_mode()
    def _detect(self, images: Sequence[Image], placements: Sequence[Placement]) -> list[Detections]:
        boxes, scores = self._model.candidates(to_batch(images).to(self._device))
        selections = select(boxes, scores, self._postprocess)
        return [to_detections(*pair) for pair in zip(selections, placements, strict=True)]


def to_batch(images: Sequence[Image]) -> Tensor:
    """Images of one size uint8 ``[H, W, 3]`` as a tensor uint8 ``[N, 3, H, W]``, channels last in memory."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def to_detections(selection: Selection, placement: Placement) -> Detections:
    """One image's selection, in letterboxed pixels, as detections in pixels of the image."""
    boxes, scores, labels = (values.cpu().numpy() for values in selection)
    return Detections.in_image(boxes, scores.astype(np.float32), labels.astype(np.int64), placement)
