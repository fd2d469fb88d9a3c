"""Task-aligned assignment on cases small enough to compute by hand."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from pindet.models.assigner import TOP, Assignment, assign
from pindet.models.contract import Target

# Four by four cells of 8 pixels: centres at 4, 12, 20, 28.
CENTRES = torch.tensor([[4.0 + 8 * x, 4.0 + 8 * y] for y in range(4) for x in range(4)])


def target(*boxes: list[float], labels: list[int] | None = None) -> Target:
    labels = [0] * len(boxes) if labels is None else labels
    return Target(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64))


def run(targets: list[Target], boxes: Tensor | None = None, scores: Tensor | None = None) -> Assignment:
    n, a = len(targets), len(CENTRES)
    if boxes is None:
        boxes = torch.tensor([0.0, 0.0, 16.0, 16.0]).expand(n, a, 4)
    if scores is None:
        scores = torch.full((n, a, 2), 0.25)
    return assign(CENTRES, 8.0, boxes, scores, targets)


def test_the_points_inside_a_box_answer_for_it() -> None:
    found = run([target([0, 0, 16, 16], labels=[1])])
    assert sorted(found.points.tolist()) == [0, 1, 4, 5]
    assert found.labels.tolist() == [1] * 4
    torch.testing.assert_close(found.boxes, torch.tensor([[0.0, 0.0, 16.0, 16.0]]).expand(4, 4))
    # Every prediction is the box itself, so each has the best overlap, 1, and equal alignment.
    torch.testing.assert_close(found.quality, torch.ones(4))


def test_quality_is_alignment_relative_to_the_best_times_the_best_overlap() -> None:
    wanted = [0.0, 0.0, 16.0, 16.0]
    boxes = torch.tensor(wanted).expand(1, 16, 4).clone()
    boxes[0, 0] = torch.tensor([0.0, 0.0, 16.0, 12.0])
    scores = torch.full((1, 16, 2), 0.25)
    scores[0, 5, 0] = 0.81
    found = run([target(wanted)], boxes, scores)
    quality = dict(zip(found.points.tolist(), found.quality.tolist(), strict=True))
    overlap = 1 - complete_box_iou_loss(boxes[0, 0], torch.tensor(wanted)).item()
    assert abs(quality[5] - 1.0) < 1e-6  # alignment sqrt(0.81) is the best
    assert abs(quality[1] - 0.5 / 0.9) < 1e-6
    assert abs(quality[0] - 0.5 * overlap**6 / 0.9) < 1e-6


def test_only_the_best_aligned_points_answer() -> None:
    boxes = torch.tensor([0.0, 0.0, 32.0, 32.0]).expand(1, 16, 4)
    scores = torch.linspace(0.1, 0.9, 16)[None, :, None].expand(1, 16, 2)
    found = run([target([0, 0, 32, 32])], boxes, scores)
    assert sorted(found.points.tolist()) == list(range(16 - TOP, 16))


def test_a_point_in_two_boxes_answers_for_the_one_it_overlaps_most() -> None:
    small, large = [0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 24.0, 24.0]
    found = run([target(large, small, labels=[0, 1])])  # all predict the small one
    by_point = dict(zip(found.points.tolist(), found.labels.tolist(), strict=True))
    assert {by_point[p] for p in (0, 1, 4, 5)} == {1}
    assert {by_point[p] for p in (2, 6, 8, 9, 10)} == {0}
    assert len(by_point) == len(found.points)


def test_equal_boxes_share_nothing_twice() -> None:
    found = run([target([0, 0, 16, 16], [0, 0, 16, 16], labels=[0, 1])])
    assert sorted(found.points.tolist()) == [0, 1, 4, 5]
    assert set(found.labels.tolist()) == {0}


def test_a_box_smaller_than_a_cell_has_a_point() -> None:
    found = run([target([15.6, 15.6, 16.4, 16.4])])
    assert len(found.points) > 0


def test_images_do_not_mix_and_an_empty_one_has_none() -> None:
    found = run([target(), target([0, 0, 8, 8]), target([24, 24, 32, 32], labels=[1])])
    assert set(zip(found.images.tolist(), found.points.tolist(), strict=True)) == {(1, 0), (2, 15)}


def test_no_boxes_at_all() -> None:
    found = run([target(), target()])
    assert found.points.shape == (0,)
    assert found.boxes.shape == (0, 4)
