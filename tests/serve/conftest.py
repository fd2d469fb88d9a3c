"""A bundle with a model small enough to answer by hand."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pindet_serve.manifest import sha256_of

BOXES = [[10, 20, 30, 40], [0, 0, 50, 50], [0, 0, 0, 0]]
LABELS = [1, 0, 0]


def tiny_model() -> onnx.ModelProto:
    """Always the same two boxes and one padding; their scores are the mean brightness of the image, times 0.5, 1, 0."""
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Unsqueeze", ["brightness", "one"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["scores"]),
        helper.make_node("Shape", ["scores"], ["shape"]),
        helper.make_node("Expand", ["all_labels", "shape"], ["labels"]),
        helper.make_node("Concat", ["shape", "four"], ["shape4"], axis=0),
        helper.make_node("Expand", ["all_boxes", "shape4"], ["boxes"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3]),
        "white": np.array(255, np.float32),
        "one": np.array([1]),
        "four": np.array([4]),
        "weights": np.array([[0.5, 1, 0]], np.float32),
        "all_labels": np.array([LABELS]),
        "all_boxes": np.array([BOXES], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 64, 64, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 3, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", 3]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture
def bundle(tmp_path):
    """A valid bundle folder; 64x64 input, classes ``bolt`` and ``人``."""
    onnx.save(tiny_model(), tmp_path / "model.onnx")
    write_manifest(tmp_path)
    return tmp_path


@pytest.fixture
def rewrite(bundle):
    """Rewrites keys of the bundle's manifest; ``None`` removes a key."""

    def rewritten(**changes):
        path = bundle / "manifest.json"
        content = json.loads(path.read_text(encoding="utf-8")) | changes
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")

    return rewritten


def write_manifest(folder, **changes):
    """Write a manifest for the files that are in the folder, with some keys changed."""
    files = {path.name: sha256_of(path) for path in folder.iterdir() if path.name != "manifest.json"}
    content = {
        "schema_version": 1,
        "classes": ["bolt", "人"],
        "image_height": 64,
        "image_width": 64,
        "letterbox_fill": 114,
        "score_threshold": 0.4,
        "max_detections": 3,
        "metrics": {"test/map": 0.5},
        "data_md5": "0" * 32,
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(content | changes), encoding="utf-8")
