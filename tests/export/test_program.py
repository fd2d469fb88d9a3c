"""``model.pt2`` on the server's torch engine answers as ``model.onnx`` does on ONNX Runtime."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pindet_serve.detector import MODEL, Detector
from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import BundleError, Manifest, list_files, write_manifest
from pindet_serve.serving.torch_engine import PROGRAM, SELECTION, TorchEngine

from pindet.export.graph import export_model
from pindet.export.program import write_program
from pindet.models.postprocess import Postprocess

POSTPROCESS = Postprocess(nms_iou_threshold=0.5, max_detections=20)


@pytest.fixture(scope="module")
def bundle(trained_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    onnx.save(export_model(trained_once.model, POSTPROCESS, opset=20), folder / MODEL)
    write_program(folder, trained_once.model, POSTPROCESS)
    manifest = Manifest(["red", "green"], 64, 64, 114, "pyramid", 0.3, 20, {}, "0" * 32, list_files(folder))
    write_manifest(folder, manifest)
    return folder


def on_cpu(bundle, manifest):
    return TorchEngine(bundle, manifest, max_batch=2, device="cpu")


def test_it_answers_as_the_onnx_model_does(bundle):
    rng = np.random.default_rng(1)
    images = [np.repeat(np.repeat(rng.integers(0, 256, (9, 9, 3), np.uint8), 8, 0), 8, 1) for _ in range(5)]
    ours, theirs = Detector(bundle, engine=on_cpu), Detector(bundle, threads=1)
    assert (ours.engine.name, ours.engine.device, ours.engine.half) == ("torch", "cpu", False)
    pairs = list(zip(ours.detect(images, score_threshold=0), theirs.detect(images, score_threshold=0), strict=True))
    assert sum(len(one) for one, _ in pairs) > 20
    for one, other in pairs:
        assert one.labels.tolist() == other.labels.tolist()
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


def test_its_bytes_follow_from_the_model_and_name_no_path(bundle, trained_once, tmp_path):
    write_program(tmp_path, trained_once.model, POSTPROCESS)
    written = (tmp_path / PROGRAM).read_bytes()
    assert written == (bundle / PROGRAM).read_bytes()
    with zipfile.ZipFile(tmp_path / PROGRAM) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert b"site-packages" not in content and str(Path(__file__).parents[2]).encode() not in content, name


def test_without_a_gpu_it_does_not_run_elsewhere(bundle):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceMissingError, match="can use no GPU"):
        Detector(bundle, engine=lambda folder, manifest: TorchEngine(folder, manifest, max_batch=2))


def test_a_program_that_does_not_fit_is_refused(bundle, tmp_path):
    manifest = Detector(bundle, threads=1).manifest
    with pytest.raises(BundleError, match="gives boxes"):
        on_cpu(bundle, replace(manifest, classes=["red", "green", "blue"]))
    with pytest.raises(BundleError, match=f"holds no {PROGRAM}"):
        on_cpu(tmp_path, manifest)
    (tmp_path / PROGRAM).write_bytes(b"nothing")
    with pytest.raises(BundleError, match="can not be loaded"):
        on_cpu(tmp_path, manifest)
    program = torch.export.load(bundle / PROGRAM)
    torch.export.save(program, tmp_path / PROGRAM, extra_files={SELECTION: json.dumps({"nms_iou_threshold": 1})})
    with pytest.raises(BundleError, match="max_candidates"):
        on_cpu(tmp_path, manifest)
