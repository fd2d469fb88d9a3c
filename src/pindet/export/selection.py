"""``pindet.models.postprocess.select`` once more, as an ONNX graph, with suppression only where there is any.

The best (anchor, class) pairs are taken first, with ``TopK``; one ``NonMaxSuppression`` then sees every class as a row
of its own in which the other classes' pairs score 0. Boxes thus keep their coordinates: shifting them by class, the
usual trick, costs precision that grows with the number of classes. Of equal scores the earlier pair goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pindet.models.postprocess import Postprocess

OUTPUTS = ("boxes", "scores", "labels")
INPUTS = ("candidate_boxes", "candidate_scores")


def selection_model(
    anchors: int, classes: int, postprocess: Postprocess, *, opset: int, ir_version: int
) -> onnx.ModelProto:
    """Build the graph for ``A`` anchors and ``C`` classes.

    Inputs: ``candidate_boxes`` float32 ``[N, A, 4]`` xyxy and ``candidate_scores`` float32 ``[N, A, C]``. Outputs, with
    ``K = max_detections``: ``boxes`` float32 ``[N, K, 4]``, ``scores`` float32 ``[N, K]`` best first and ``labels``
    int64 ``[N, K]``; places without an object hold zeros.
    """
    build = _Builder()
    count = min(postprocess.max_candidates, anchors * classes)
    boxes, scores, labels = _best_pairs(build, anchors, classes, count)
    survivors = _suppressed(build, (boxes, scores, labels), classes, count, postprocess)
    _best_objects(build, (boxes, survivors, labels), count, postprocess.max_detections)
    limit = postprocess.max_detections
    graph = helper.make_graph(
        build.nodes,
        "selection",
        [
            helper.make_tensor_value_info(INPUTS[0], TensorProto.FLOAT, ["N", anchors, 4]),
            helper.make_tensor_value_info(INPUTS[1], TensorProto.FLOAT, ["N", anchors, classes]),
        ],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", limit, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", limit]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", limit]),
        ],
        build.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


class _Builder:
    """Collects nodes and constants; each node is named after what it gives."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: object, dtype: type[np.generic] = np.int64) -> str:
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def top(self, scores: str, count: str, output: str, index: str) -> tuple[str, str]:
        self.nodes.append(helper.make_node("TopK", [scores, count], [output, index], name=output, axis=1))
        return output, index


def _best_pairs(build: _Builder, anchors: int, classes: int, count: int) -> tuple[str, str, str]:
    """The ``M`` best pairs: boxes ``[N, M, 4]``, scores ``[N, M]`` and labels ``[N, M]``."""
    last = build.constant("last", [-1])
    flat_shape = build.constant("flat_shape", [0, anchors * classes])  # 0 keeps N
    flat = build.node("Reshape", [INPUTS[1], flat_shape], "flat_scores")
    scores, pairs = build.top(flat, build.constant("pair_count", [count]), "pair_scores", "pairs")
    number = build.constant("class_count", classes)
    anchor = build.node("Div", [pairs, number], "pair_anchors")
    labels = build.node("Mod", [pairs, number], "pair_labels")
    column = build.node("Unsqueeze", [anchor, last], "pair_anchor_column")
    return build.node("GatherND", [INPUTS[0], column], "pair_boxes", batch_dims=1), scores, labels


def _suppressed(
    build: _Builder, pairs: tuple[str, str, str], classes: int, count: int, postprocess: Postprocess
) -> str:
    """The scores ``[N, M]``, 0 where a pair is suppressed or not above the floor."""
    boxes, scores, labels = pairs
    zero = build.constant("zero", 0, np.float32)
    if not postprocess.suppresses:
        floor = build.constant("score_floor", postprocess.score_floor, np.float32)
        return build.node("Where", [build.node("Greater", [scores, floor], "above_floor"), scores, zero], "survivors")
    middle = build.constant("middle", [1])
    every_class = build.constant("every_class", np.arange(classes)[:, None])
    label_row = build.node("Unsqueeze", [labels, middle], "label_row")
    score_row = build.node("Unsqueeze", [scores, middle], "score_row")
    own = build.node("Equal", [label_row, every_class], "is_own_class")
    class_scores = build.node("Where", [own, score_row, zero], "class_scores")
    limits = [
        build.constant("per_class", [count]),
        build.constant("nms_iou_threshold", [_rounded_down(postprocess.nms_iou_threshold)], np.float32),
        build.constant("score_floor", [postprocess.score_floor], np.float32),
    ]
    kept = build.node("NonMaxSuppression", [boxes, class_scores, *limits], "kept")  # rows of image, class, pair
    places = build.node("Gather", [kept, build.constant("image_and_pair", [0, 2])], "kept_places", axis=1)
    kept_scores = build.node("GatherND", [scores, places], "kept_scores")
    shape = build.node("Shape", [scores], "pair_shape")
    empty = build.node("ConstantOfShape", [shape], "nothing_kept")
    return build.node("ScatterND", [empty, places, kept_scores], "survivors")


def _rounded_down(value: float) -> np.float32:
    """The nearest float32 that is not above: torchvision compares with the float64, and boxes may meet it exactly."""
    nearest = np.float32(value)
    return nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-1))


def _best_objects(build: _Builder, pairs: tuple[str, str, str], count: int, limit: int) -> None:
    """The best ``limit`` of the pairs, best first, zeros after the last."""
    boxes, survivors, labels = pairs
    here = build.constant("object_count", [min(count, limit)])
    scores, positions = build.top(survivors, here, "object_scores", "positions")
    column = build.node("Unsqueeze", [positions, "last"], "position_column")
    object_boxes = build.node("GatherND", [boxes, column], "object_boxes", batch_dims=1)
    object_labels = build.node("GatherElements", [labels, positions], "object_labels", axis=1)
    found = build.node("Greater", [scores, "zero"], "found")
    found_column = build.node("Unsqueeze", [found, "last"], "found_column")
    named = {
        "boxes": build.node("Where", [found_column, object_boxes, "zero"], "found_boxes"),
        "scores": scores,
        "labels": build.node("Where", [found, object_labels, build.constant("no_label", 0)], "found_labels"),
    }
    for name, value in named.items():
        ends = [0, max(0, limit - count)] + ([0] if name == "boxes" else [])
        padding = build.constant(f"{name}_padding", [0] * len(ends) + ends)
        build.node("Pad", [value, padding], name)
