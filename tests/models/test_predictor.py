"""Boxes come back to where they were drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from pindet.models.contract import DetectionModel, Target
from pindet.models.postprocess import Postprocess
from pindet.models.predictor import Predictor


class RedFinder(DetectionModel):
    """Answers with the box around the red pixels; remembers the batches it was asked for."""

    def __init__(self) -> None:
        super().__init__(128, 128, 2)
        self.batches: list[int] = []

    def loss(self, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        raise NotImplementedError

    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 128, 128)
        self.batches.append(len(images))
        boxes = []
        for image in images.int():
            y, x = ((image[0] > 180) & (image[1] < 70)).nonzero(as_tuple=True)
            boxes.append(torch.tensor([[x.min(), y.min(), x.max() + 1, y.max() + 1]], dtype=torch.float32))
        return torch.stack(boxes), torch.tensor([[[0.1, 0.9]]]).repeat(len(images), 1, 1)


POST = Postprocess(nms_iou_threshold=0.5, max_detections=1)


def drawn(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((height, width, 3), 255, np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = (255, 0, 0)
    return image


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (128, 128, (10, 20, 50, 90)),
        (256, 512, (100, 40, 300, 200)),
        (60, 40, (4, 8, 30, 52)),
        (700, 90, (9, 70, 63, 560)),
    ],
)
def test_a_drawn_box_is_found_where_it_was_drawn(height: int, width: int, box: tuple[int, int, int, int]) -> None:
    (found,) = Predictor(RedFinder(), POST)([drawn(height, width, box)])
    pixel = max(1.0, max(height, width) / 128)  # of the letterboxed image, in pixels of the image
    np.testing.assert_allclose(found.boxes, [box], atol=pixel)
    assert found.labels.tolist() == [1]
    assert found.boxes.dtype == np.float32
    assert found.labels.dtype == np.int64


def test_images_come_in_order_and_in_batches() -> None:
    model = RedFinder()
    images = [drawn(128, 128, (10 * i, 0, 10 * i + 10, 10)) for i in range(5)]
    found = Predictor(model, POST, batch_size=2)(images)
    assert model.batches == [2, 2, 1]
    assert [answer.boxes[0, 0] for answer in found] == [0, 10, 20, 30, 40]
    assert Predictor(model, POST)([]) == []


def test_the_model_is_in_evaluation_mode() -> None:
    model = RedFinder()
    Predictor(model.train(), POST)
    assert not model.training


def test_a_wrong_batch_size_is_named() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        Predictor(RedFinder(), POST, batch_size=0)
