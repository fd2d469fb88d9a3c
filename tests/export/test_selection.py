"""The selection in ONNX gives what ``pindet.models.postprocess.select`` gives, to the last bit."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pindet.export.selection import INPUTS, OUTPUTS, selection_model
from pindet.models.postprocess import Postprocess, select


def run(boxes, scores, postprocess):
    model = selection_model(*scores.shape[1:], postprocess, opset=20, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(OUTPUTS), dict(zip(INPUTS, (boxes, scores), strict=True)))


def assert_same(boxes, scores, postprocess):
    """Returns how many objects were found."""
    ours = run(boxes, scores, postprocess)
    theirs = select(torch.from_numpy(boxes), torch.from_numpy(scores), postprocess)
    for i, expected in enumerate(theirs):
        count = len(expected[1])
        for ours_of_all, values in zip(ours, expected, strict=True):
            assert len(ours_of_all[i]) == postprocess.max_detections
            np.testing.assert_array_equal(ours_of_all[i][:count], values.numpy())
            assert not ours_of_all[i][count:].any()
    return sum(len(scores) for _, scores, _ in theirs)


def candidates(seed, images=2, anchors=200, classes=3, *, grid=None, levels=None):
    """Random ones; on a ``grid`` boxes meet each other and thresholds exactly, with few ``levels`` scores are equal."""
    rng = np.random.default_rng(seed)
    corners, sides = rng.random((images, anchors, 2)) * 200, rng.random((images, anchors, 2)) * 100
    boxes = np.concatenate([corners, corners + sides], -1)
    scores = rng.random((images, anchors, classes))
    boxes = boxes if grid is None else np.round(boxes / grid) * grid
    scores = scores if levels is None else np.round(scores * levels) / levels
    return boxes.astype(np.float32), scores.astype(np.float32)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 4),
    anchors=st.integers(1, 150),
    classes=st.integers(1, 6),
    grid=st.sampled_from([None, 10]),
    levels=st.sampled_from([None, 1, 4]),
    iou=st.sampled_from([0.2, 0.5, 0.6, 0.7, 1.0]),
    most=st.sampled_from([1, 20, 200]),
    looked_at=st.sampled_from([1, 50, 1000]),
    floor=st.sampled_from([0.0, 0.001, 0.25, 0.6]),
)
def test_the_same_objects(seed, images, anchors, classes, grid, levels, iou, most, looked_at, floor):
    boxes, scores = candidates(seed, images, anchors, classes, grid=grid, levels=levels)
    postprocess = Postprocess(
        nms_iou_threshold=iou, max_detections=most, max_candidates=looked_at, score_floor=floor
    )
    assert_same(boxes, scores, postprocess)


def test_many_classes():
    boxes, scores = candidates(0, anchors=400, classes=80)
    assert assert_same(boxes, scores, Postprocess(nms_iou_threshold=0.5, max_detections=300)) == 600


def test_nothing_above_the_floor():
    boxes, scores = candidates(0)
    assert assert_same(boxes, scores * 0, Postprocess(nms_iou_threshold=0.5, max_detections=10)) == 0


def test_fewer_candidates_than_detections():
    boxes, scores = candidates(0, anchors=2, classes=1)
    assert 2 <= assert_same(boxes, scores, Postprocess(nms_iou_threshold=0.9, max_detections=10)) <= 4


@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.3])
def test_an_overlap_that_meets_the_threshold_exactly(threshold):
    """Of float32 overlaps and float64 thresholds, which of the two is larger differs from number to number."""
    side = round(threshold * 10)
    boxes = np.array([[[0, 0, 10, 10], [0, 0, side, 10]]], np.float32)
    scores = np.array([[[0.9], [0.8]]], np.float32)
    assert_same(boxes, scores, Postprocess(nms_iou_threshold=threshold, max_detections=10))
