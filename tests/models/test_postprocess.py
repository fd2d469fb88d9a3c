"""Selection against a brute force."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from pindet.models.postprocess import Postprocess, select


def brute_force(boxes: Tensor, scores: Tensor, post: Postprocess) -> list[tuple[float, int, int]]:
    """Score, label and box index of what stays."""
    pairs = [
        (float(scores[a, c]), c, a)
        for a in range(scores.shape[0])
        for c in range(scores.shape[1])
        if scores[a, c] > post.score_floor
    ]
    pairs = sorted(pairs, reverse=True)[: post.max_candidates]
    kept: list[tuple[float, int, int]] = []
    for pair in pairs:
        others = [k for k in kept if k[1] == pair[1]]
        if all(box_iou(boxes[None, pair[2]], boxes[None, k[2]]).item() <= post.nms_iou_threshold for k in others):
            kept.append(pair)
    return kept[: post.max_detections]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "post",
    [
        Postprocess(nms_iou_threshold=0.5, max_detections=100),
        Postprocess(nms_iou_threshold=0.3, max_detections=7),
        Postprocess(nms_iou_threshold=0.7, max_detections=50, max_candidates=20, score_floor=0.3),
    ],
)
def test_equals_brute_force(seed: int, post: Postprocess) -> None:
    rng = torch.Generator().manual_seed(seed)
    corners = torch.rand(2, 40, 2, generator=rng) * 50
    boxes = torch.cat([corners, corners + 5 + torch.rand(2, 40, 2, generator=rng) * 40], -1)
    scores = torch.rand(2, 40, 3, generator=rng)
    for i, (found_boxes, found_scores, labels) in enumerate(select(boxes, scores, post)):
        expected = brute_force(boxes[i], scores[i], post)
        assert labels.tolist() == [c for _, c, _ in expected]
        assert found_scores.tolist() == [s for s, _, _ in expected]
        assert torch.equal(found_boxes, boxes[i][[a for _, _, a in expected]])


def test_equal_boxes_of_two_classes_both_stay() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 9.0, 9.0]]])
    post = Postprocess(nms_iou_threshold=0.5, max_detections=5)
    ((_, scores, labels),) = select(boxes, torch.tensor([[[0.9, 0.8]]]), post)
    assert labels.tolist() == [0, 1]
    assert scores.tolist() == pytest.approx([0.9, 0.8])


def test_nothing_above_the_floor_is_an_empty_answer() -> None:
    post = Postprocess(nms_iou_threshold=0.5, max_detections=5)
    ((boxes, scores, labels),) = select(torch.zeros(1, 4, 4), torch.full((1, 4, 2), post.score_floor), post)
    assert boxes.shape == (0, 4)
    assert scores.shape == labels.shape == (0,)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nms_iou_threshold": 0.0}, "nms_iou_threshold is 0.0"),
        ({"nms_iou_threshold": 1.1}, "nms_iou_threshold is 1.1"),
        ({"max_detections": 0}, "max_detections is 0"),
        ({"max_candidates": 0}, "max_candidates is 0"),
        ({"score_floor": 1.0}, "score_floor is 1.0"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Postprocess(**({"nms_iou_threshold": 0.5, "max_detections": 10} | wrong))
