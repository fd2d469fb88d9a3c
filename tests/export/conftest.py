"""A model whose answers can be foreseen, and pictures of what it finds: red and green squares on grey."""

import numpy as np
import pytest
import torch
from torch import nn

from pindet.export.settings import ExportSettings
from pindet.models.contract import DetectionModel
from pindet.models.store import Trained

CELL = 8


class Squares(DetectionModel):
    """Scores each cell of 8 x 8 pixels by its colour; its box is a square of 16 pixels around a centre near it."""

    def __init__(self, image_height=64, image_width=64, num_classes=2):
        super().__init__(image_height, image_width, num_classes)
        self.colour = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3))
        self.score = nn.Conv2d(3, num_classes, 1)
        self.shift = nn.Conv2d(3, 2, 3, padding=1)
        y, x = torch.meshgrid(torch.arange(image_height // CELL), torch.arange(image_width // CELL), indexing="ij")
        self.register_buffer("centres", (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * CELL)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
            self.colour[0].weight.mul_(0.02)
            self.colour[0].weight[range(3), range(3), 1, 1] = 1  # almost the identity
            self.colour[1].weight.fill_(1)
            self.colour[1].bias.mul_(0.1)
            self.colour[1].running_mean.fill_(0.4)
            self.score.weight.copy_(torch.tensor([[9.0, -9, -9], [-9, 9, -9]])[:num_classes, :, None, None])
            self.score.bias.fill_(-4)
        self.eval()

    def loss(self, images, targets):
        raise NotImplementedError

    def candidates(self, images):
        cells = nn.functional.avg_pool2d(images.float() / 255, CELL)
        colours = self.colour(cells)
        centres = self.centres + CELL * self.shift(colours).flatten(2).transpose(1, 2).tanh()
        return torch.cat([centres - CELL, centres + CELL], -1), self.score(colours).flatten(2).transpose(1, 2).sigmoid()


class Pictures:
    """What the export asks of a ``PreparedSplit``, held in memory."""

    classes = ("red", "green")

    def __init__(self, count):
        self.classes = list(Pictures.classes)
        self._images, self._annotations = [], []
        for number in range(count):
            self._draw(number)

    def _draw(self, number):
        rng = np.random.default_rng(number)
        height, width = rng.integers(48, 120, 2)
        image = rng.integers(110, 130, (height, width, 3), np.uint8)
        for label in range(number % 3):
            x, y = rng.integers(0, width - 24), rng.integers(0, height - 24)
            image[y : y + 24, x : x + 24] = rng.integers(0, 30, 3)
            image[y : y + 24, x : x + 24, label] = 240
            self._annotations.append(
                {"image_id": number + 1, "category_id": label + 1, "bbox": [int(x), int(y), 24, 24], "area": 576}
            )
        self._images.append(image)

    def __len__(self):
        return len(self._images)

    def image(self, i):
        return self._images[i]

    def coco(self):
        return {
            "images": [
                {"id": i + 1, "file_name": f"{i}.png", "height": image.shape[0], "width": image.shape[1]}
                for i, image in enumerate(self._images)
            ],
            "annotations": [{"id": i + 1, "iscrowd": 0} | entry for i, entry in enumerate(self._annotations)],
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(self.classes)],
        }


@pytest.fixture
def model():
    return Squares()


@pytest.fixture
def trained(model):
    return Trained(model, list(Pictures.classes))


@pytest.fixture(scope="session")
def trained_once():
    """For tests that do not change it."""
    return Trained(Squares(), list(Pictures.classes))


@pytest.fixture(scope="session")
def pictures():
    return Pictures(12)


@pytest.fixture
def no_pictures():
    return Pictures(0)


@pytest.fixture(scope="session")
def settings():
    return ExportSettings(
        opset=20,
        golden_images=3,
        golden_box_tolerance=0.5,
        golden_score_tolerance=0.01,
        parity_score_floor=0.05,
        parity_min_iou=0.99,
        parity_max_score_difference=0.01,
        parity_max_unmatched_fraction=0.002,
        parity_max_map_difference=0.002,
        latency_runs=5,
        formats=[],
        max_map_drop=0.01,
        int8_calibration_images=8,
        int8_box_tolerance=8.0,
        int8_score_tolerance=0.15,
    )
