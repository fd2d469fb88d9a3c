"""The losses against references written out."""

from __future__ import annotations

import math

import torch
from torchvision.ops import complete_box_iou_loss

from pindet.models.assigner import Assignment
from pindet.models.head import Points
from pindet.models.losses import (
    BOX_WEIGHT,
    CLASS_WEIGHT,
    DISTANCE_WEIGHT,
    detection_losses,
    distribution_focal_loss,
)


def test_distribution_focal_loss_equals_the_formula() -> None:
    logits = torch.randn(3, 4 * 6, generator=torch.Generator().manual_seed(0))
    cells = torch.tensor([[0.0, 1.25, 2.5, 4.75], [3.0, 0.5, 4.9, 2.0], [1.0, 1.0, 1.0, 1.0]])
    expected = []
    for row, distances in zip(logits.view(3, 4, 6), cells, strict=True):
        sides = []
        for side, y in zip(row, distances.tolist(), strict=True):
            p = side.softmax(0)
            i = math.floor(y)
            sides.append(-((i + 1 - y) * math.log(p[i]) + (y - i) * math.log(p[i + 1])))
        expected.append(sum(sides) / 4)
    torch.testing.assert_close(distribution_focal_loss(logits, cells), torch.tensor(expected))


def test_a_distance_beyond_the_last_bin_pulls_towards_it() -> None:
    logits = torch.zeros(1, 4 * 4, requires_grad=True)
    distribution_focal_loss(logits, torch.full((1, 4), 99.0)).sum().backward()
    assert logits.grad is not None
    assert (logits.grad.view(4, 4).argmin(-1) == 3).all()


def test_every_part_equals_its_definition() -> None:
    points = Points(32, 32, (8,), 4)
    rng = torch.Generator().manual_seed(1)
    classes = torch.randn(2, 16, 3, generator=rng)
    distances = torch.randn(2, 16, 16, generator=rng)
    boxes = points.boxes(distances)
    wanted = torch.tensor([[1.0, 1.0, 14.0, 12.0], [10.0, 8.0, 30.0, 30.0]])
    quality = torch.tensor([0.9, 0.6])
    found = Assignment(torch.tensor([0, 1]), torch.tensor([0, 10]), wanted, torch.tensor([2, 0]), quality)
    losses = detection_losses(classes, distances, boxes, points, found)
    truth = torch.zeros_like(classes)
    truth[0, 0, 2], truth[1, 10, 0] = 0.9, 0.6
    p = classes.sigmoid()
    cross_entropy = -(truth * p.log() + (1 - truth) * (1 - p).log()).sum()
    overlap = complete_box_iou_loss(torch.stack([boxes[0, 0], boxes[1, 10]]), wanted)
    cells = torch.stack([torch.tensor([3.0, 3.0, 10.0, 8.0]) / 8, torch.tensor([10.0, 12.0, 10.0, 10.0]) / 8])
    spread = distribution_focal_loss(torch.stack([distances[0, 0], distances[1, 10]]), cells)
    torch.testing.assert_close(losses["class"], CLASS_WEIGHT * cross_entropy / 1.5)
    torch.testing.assert_close(losses["box"], BOX_WEIGHT * (overlap * quality).sum() / 1.5)
    torch.testing.assert_close(losses["distance"], DISTANCE_WEIGHT * (spread * quality).sum() / 1.5)


def test_without_objects_only_the_classes_count() -> None:
    points = Points(32, 32, (8,), 4)
    classes = torch.zeros(1, 16, 3, requires_grad=True)
    distances = torch.zeros(1, 16, 16, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    found = Assignment(none, none, torch.zeros(0, 4), none, torch.zeros(0))
    losses = detection_losses(classes, distances, points.boxes(distances), points, found)
    assert losses["box"] == losses["distance"] == 0
    torch.testing.assert_close(losses["class"], torch.tensor(CLASS_WEIGHT * 48 * math.log(2)))
    sum(losses.values(), torch.tensor(0.0)).backward()
    assert classes.grad is not None and classes.grad.isfinite().all()


def test_points_decode_the_expected_distance() -> None:
    points = Points(32, 64, (8, 16), 4)
    assert points.centres.shape == (4 * 8 + 2 * 4, 2)
    assert points.centres[1].tolist() == [12.0, 4.0]
    assert points.centres[32].tolist() == [8.0, 8.0]
    logits = torch.full((1, 40, 4, 4), -1e4)
    logits[..., 2] = 0.0  # two cells to every side
    boxes = points.boxes(logits.flatten(2))
    assert boxes[0, 1].tolist() == [12 - 16, 4 - 16, 12 + 16, 4 + 16]
    assert boxes[0, 32].tolist() == [8 - 32, 8 - 32, 8 + 32, 8 + 32]
