"""Suppression by rounds keeps what greedy suppression keeps; models that need none get none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torchvision.ops import nms

from pindet.models.pindet import Pindet
from pindet.models.postprocess import Postprocess, select
from pindet.models.ranking import best_first
from pindet.models.suppression import kept_after

POSTPROCESS = Postprocess(nms_iou_threshold=0.5, max_detections=10)


def crowded(images: int, boxes: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(images, boxes, 2, generator=generator) * 60
    return torch.cat([corners, corners + 10 + 30 * torch.rand(images, boxes, 2, generator=generator)], -1)


def test_rounds_end_at_greedy_suppression() -> None:
    boxes = crowded(3, 120)
    scores = torch.linspace(1, 0, 120)
    kept = kept_after(boxes, torch.zeros(120), 0.3)
    for row, own in zip(kept, boxes, strict=True):
        assert row.nonzero().flatten().tolist() == sorted(nms(own, scores, 0.3).tolist())
    assert kept.sum() < kept_after(boxes, torch.zeros(120), 0.9).sum()


def test_groups_leave_each_other_alone() -> None:
    boxes = crowded(1, 40)
    both = kept_after(torch.cat([boxes, boxes], 1), torch.arange(80) // 40, 0.3)
    alone = kept_after(boxes, torch.zeros(40), 0.3)
    assert torch.equal(both, torch.cat([alone, alone], 1))


def test_of_equal_scores_the_earlier_goes_first() -> None:
    scores = torch.tensor([[0.5, 0.7, 0.5, 0.7, 0.1]])
    assert best_first(scores, 4).tolist() == [[1, 3, 0, 2]]


def test_an_end_to_end_model_keeps_every_candidate(
    tiny: Callable[..., Pindet], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny()
    assert POSTPROCESS.of(model) == POSTPROCESS
    monkeypatch.setattr(Pindet, "end_to_end", True)
    ranked = POSTPROCESS.of(model)
    assert ranked == dataclasses.replace(POSTPROCESS, nms_iou_threshold=1.0)
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 11]]])
    scores = torch.tensor([[[0.9], [0.8], [0.00001]]])
    assert [len(s) for _, s, _ in select(boxes, scores, POSTPROCESS)] == [1]
    assert [s.tolist() for _, s, _ in select(boxes, scores, ranked)] == [pytest.approx([0.9, 0.8])]
