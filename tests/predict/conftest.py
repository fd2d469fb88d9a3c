"""A bundle that answers by brightness, and pictures to ask it about."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import typer
from onnx import TensorProto, helper
from pindet_serve.detector import Detector
from pindet_serve.golden import Tolerance, load_proven, write_golden
from pindet_serve.manifest import Manifest, list_files, write_manifest
from typer.testing import CliRunner

from pindet.predict.command import predict_command

WHITE = np.full((48, 64, 3), 255, np.uint8)


def brightness_model():
    """One box, left half, label 1; its score is the mean brightness of the letterboxed image."""
    constants = {
        "axes": np.array([1, 2, 3]),
        "white": np.array(255, np.float32),
        "one": np.array([1]),
        "four": np.array([4]),
        "label": np.array([[1]]),
        "box": np.array([[[0, 0, 32, 64]]], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Unsqueeze", ["brightness", "one"], ["scores"]),
        helper.make_node("Shape", ["scores"], ["shape"]),
        helper.make_node("Expand", ["label", "shape"], ["labels"]),
        helper.make_node("Concat", ["shape", "four"], ["shape4"], axis=0),
        helper.make_node("Expand", ["box", "shape4"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 64, 64, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", 1]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Classes ``bolt`` and ``人``; anything brighter than half grey holds one ``人``."""
    folder = tmp_path_factory.mktemp("bundle")
    onnx.save(brightness_model(), folder / "model.onnx")
    about = {"letterbox_fill": 114, "score_threshold": 0.5, "max_detections": 1, "metrics": {}, "data_md5": "0" * 32}
    size = {"image_height": 64, "image_width": 64, "letterbox_resampling": "pyramid"}
    manifest = Manifest(classes=["bolt", "人"], **size, **about, files=list_files(folder))
    write_manifest(folder, manifest)
    answers = Detector(folder).detect([WHITE])
    write_golden(folder, [WHITE], answers, Tolerance(0.5, 0.01), 0.5)
    write_manifest(folder, Manifest(**vars(manifest) | {"files": list_files(folder)}))
    load_proven(folder)
    return folder


@pytest.fixture
def picture():
    """Writes a picture of one grey level; bright ones hold an object."""

    def write(path, level=255, size=(48, 64)):
        path.parent.mkdir(parents=True, exist_ok=True)
        written, data = cv2.imencode(path.suffix, np.full((*size, 3), level, np.uint8))
        assert written
        path.write_bytes(data.tobytes())
        return path

    return write


@pytest.fixture
def video():
    """Writes a video of as many frames as grey levels."""

    def write(path, levels):
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
        assert writer.isOpened()
        for level in levels:
            writer.write(np.full((48, 64, 3), level, np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture
def run(bundle):
    """Runs the command; gives its exit code, the lines of its output, and what it said on standard error."""
    app = typer.Typer()
    app.command()(predict_command)

    def invoke(*arguments):
        result = CliRunner().invoke(app, ["--bundle", str(bundle), *map(str, arguments)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout.splitlines(), result.stderr

    return invoke


@pytest.fixture
def answers(run):
    """Runs the command, which has to succeed, and gives its answers by image."""

    def ask(*arguments):
        code, lines, _ = run(*arguments)
        assert code == 0
        return {(line["image"], line.get("frame")): line for line in map(json.loads, lines)}

    return ask


@pytest.fixture
def in_process(bundle):
    """Runs a Python script in a process of its own, the bundle its first argument."""

    def invoke(script, *arguments):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in sys.path if p)}
        command = [sys.executable, "-c", script, str(bundle), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return invoke
