"""``model.onnx``: free batch size, the model's own answers, and nothing that says who exported it where and when."""

import getpass
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pindet.export.graph import export_model
from pindet.models.postprocess import Postprocess, select

POSTPROCESS = Postprocess(nms_iou_threshold=0.5, max_detections=20)
SCRIPT = """
import importlib.util, sys
from pathlib import Path
from pindet.export.graph import export_model
from pindet.models.postprocess import Postprocess
spec = importlib.util.spec_from_file_location("elsewhere", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
postprocess = Postprocess(nms_iou_threshold=0.5, max_detections=20)
Path(sys.argv[2]).write_bytes(export_model(module.Squares(), postprocess, opset=20).SerializeToString())
"""


@pytest.fixture(scope="module")
def exported(trained_once):
    return export_model(trained_once.model, POSTPROCESS, opset=20)


@pytest.fixture(scope="module")
def session(exported):
    return onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (16, 8, 8, 3), np.uint8)
    return np.repeat(np.repeat(small, 8, 1), 8, 2)


def test_the_names_types_and_shapes_of_the_contract(session):
    described = [(value.name, value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())]
    assert described == [
        ("images", "tensor(uint8)", ["N", 64, 64, 3]),
        ("boxes", "tensor(float)", ["N", 20, 4]),
        ("scores", "tensor(float)", ["N", 20]),
        ("labels", "tensor(int64)", ["N", 20]),
    ]


def test_it_answers_as_the_model_does(session, trained_once, images):
    with torch.inference_mode():
        candidates = trained_once.model.candidates(torch.from_numpy(images).permute(0, 3, 1, 2))
    found = 0
    for i, (boxes, scores, labels) in enumerate(select(*candidates, POSTPROCESS)):
        seen = [values[0] for values in session.run(None, {"images": images[i : i + 1]})]
        count = len(scores)
        np.testing.assert_allclose(seen[0][:count], boxes, atol=1e-3)
        np.testing.assert_allclose(seen[1][:count], scores, atol=1e-5)
        np.testing.assert_array_equal(seen[2][:count], labels)
        assert not seen[1][count:].any()
        found += count
    assert found > 100


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_an_image_has_the_same_answer_in_any_batch(session, images, size):
    together = session.run(None, {"images": images[:size]})
    for i in range(size):
        alone = session.run(None, {"images": images[i : i + 1]})
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[i], other[0], atol=1e-4)


def test_normalisation_layers_are_folded(exported):
    kinds = {node.op_type for node in exported.graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds
    assert "Identity" not in kinds


def test_it_names_no_path_user_or_code(exported):
    data = exported.SerializeToString().lower()
    names = [getpass.getuser(), socket.gethostname(), str(Path.cwd()), str(Path.home()), sys.prefix]
    for text in [*names, "/tmp", "/usr", "/home", ".py", "site-packages", "torch", "pytest", "squares", "traceback"]:
        assert len(text) < 4 or text.lower().encode() not in data, text
    assert (exported.producer_name, exported.producer_version, exported.doc_string) == ("pindet", "", "")
    assert not exported.metadata_props
    assert not exported.graph.metadata_props
    for part in (*exported.graph.node, *exported.graph.input, *exported.graph.output, *exported.graph.initializer):
        assert not part.metadata_props
        assert not part.doc_string


def test_two_processes_give_the_same_bytes(exported, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "77"}
    conftest = Path(__file__).parent / "conftest.py"
    command = [sys.executable, "-c", SCRIPT, str(conftest), str(tmp_path / "model.onnx")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == exported.SerializeToString()


def test_a_model_in_training_mode_is_refused(model):
    with pytest.raises(ValueError, match="training mode"):
        export_model(model.train(), POSTPROCESS, opset=20)
