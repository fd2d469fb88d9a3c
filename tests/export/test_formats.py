"""Further formats: written when asked for, held to the golden answers and the map, refused when they lose too much."""

import dataclasses
import json
import shutil
from functools import partial

import numpy as np
import onnx
import pytest
from pindet_serve.detector import Detector
from pindet_serve.golden import load_proven, prove
from pindet_serve.manifest import BundleError, read_manifest, verify_files
from pindet_serve.onnx_engine import OnnxRuntimeEngine
from pindet_serve.serving.openvino import OpenVinoEngine
from pindet_serve.serving.torch_engine import TorchEngine

import pindet.export.formats
from pindet.export.export import export
from pindet.export.formats import MapDropError, add_formats
from pindet.export.operating import OperatingPoint

POINT = OperatingPoint(score_threshold=0.3, nms_iou_threshold=0.5, max_detections=20)
ABOUT = {"metrics": {"test/map": 0.5}, "data_md5": "0123456789abcdef" * 2}
INT8 = partial(OnnxRuntimeEngine, model_format="int8")


@pytest.fixture(scope="module")
def asked(settings):
    """Settings that ask for every format."""
    return dataclasses.replace(settings, formats=["pt2", "int8"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory, trained_once, pictures, settings):
    """A bundle without further formats, not to be changed, and what was measured."""
    bundle = tmp_path_factory.mktemp("plain") / "bundle"
    return bundle, export(trained_once, pictures, POINT, settings, bundle, **ABOUT)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, trained_once, pictures, asked):
    """A bundle with every format, not to be changed, and what was measured."""
    bundle = tmp_path_factory.mktemp("formats") / "bundle"
    return bundle, export(trained_once, pictures, POINT, asked, bundle, **ABOUT, calibration=pictures)


@pytest.fixture
def add(plain, trained_once, pictures, tmp_path):
    """Adds formats to a copy of the plain bundle, which is returned."""

    def added(settings, calibration=pictures):
        bundle = tmp_path / "copy"
        shutil.copytree(plain[0], bundle)
        plain_map = plain[1]["map_bundle"]
        add_formats(bundle, trained_once.model, POINT.postprocess(), settings, calibration, pictures, plain_map)
        return bundle

    return added


def test_the_manifest_lists_them(exported):
    manifest = read_manifest(exported[0])
    verify_files(exported[0], manifest)
    assert json.loads((exported[0] / "manifest.json").read_text("utf-8"))["schema_version"] == 3
    assert {name: described.file for name, described in manifest.formats.items()} == {
        "int8": "model.int8.onnx",
        "pt2": "model.pt2",
    }
    int8, pt2 = manifest.formats["int8"], manifest.formats["pt2"]
    assert (int8.box_tolerance, int8.score_tolerance) == (8.0, 0.15)
    assert (pt2.box_tolerance, pt2.score_tolerance) == (0.5, 0.01)
    assert int8.metrics["test/map"] == pytest.approx(exported[1]["int8_map"], abs=1e-4)
    assert exported[1]["pt2_map_drop"] == 0


def test_every_engine_runs_its_format(exported, pictures):
    bundle = exported[0]
    load_proven(bundle)
    for opener in (INT8, partial(TorchEngine, max_batch=1, device="cpu")):
        assert prove(Detector(bundle, engine=opener), bundle) == 3
    openvino = Detector(bundle, engine=partial(OpenVinoEngine, model_format="int8"))
    assert len(openvino.detect([pictures.image(2)])[0]) > 0  # its integers round otherwise; real models come closer


def test_int8_has_integers_in_the_middle_and_none_at_the_ends(exported):
    graph = onnx.load(exported[0] / "model.int8.onnx").graph
    plain = onnx.load(exported[0] / "model.onnx").graph
    assert {tuple(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    assert any(node.op_type == "QuantizeLinear" for node in graph.node)
    makers = {output: node for node in graph.node for output in node.output}
    first, *last = [node for node in graph.node if node.op_type == "Conv"]
    assert makers[first.input[0]].op_type == "DequantizeLinear"
    assert len(last) == 2
    readers = {name: node.op_type for node in graph.node for name in node.input}
    assert all(readers[node.output[0]] != "QuantizeLinear" for node in last)
    kept = {node.name for node in graph.node}
    assert {node.name for node in plain.node if node.op_type == "NonMaxSuppression"} <= kept


def test_int8_answers_nearly_as_the_model_does(exported, pictures):
    plain, int8 = Detector(exported[0]), Detector(exported[0], engine=INT8)
    images = [pictures.image(i) for i in range(7)]
    different = 0.0
    for one, other in zip(plain.detect(images), int8.detect(images), strict=True):
        assert len(one) == len(other)
        np.testing.assert_allclose(np.sort(one.scores), np.sort(other.scores), atol=0.1)
        different += float(np.abs(np.sort(one.scores) - np.sort(other.scores)).sum())
    assert different > 0  # integers are not floats


def test_the_same_bytes_again_and_no_word_of_the_machine(exported, add, asked, tmp_path):
    again = add(asked)
    for name in ("model.int8.onnx", "model.pt2", "manifest.json"):
        content = (exported[0] / name).read_bytes()
        assert content == (again / name).read_bytes(), name
        assert not [word for word in (str(tmp_path.parent), "site-packages", "/src/") if word.encode() in content], name


def test_without_formats_nothing_of_them_is_written(plain):
    content = json.loads((plain[0] / "manifest.json").read_text("utf-8"))
    assert content["schema_version"] == 3
    assert content["formats"] == {}
    with pytest.raises(BundleError, match=r"holds no format 'int8', it holds onnx; add it to export\.formats"):
        Detector(plain[0], engine=INT8)


def test_a_format_that_loses_too_much_is_refused(trained, pictures, asked, tmp_path, monkeypatch):
    original = pindet.export.formats._map
    monkeypatch.setattr(pindet.export.formats, "_map", lambda *arguments: original(*arguments) - 0.05)
    with pytest.raises(MapDropError, match=r"int8 has a test map .*loses 0\.0\d+, export\.max_map_drop allows 0\.01"):
        export(trained, pictures, POINT, asked, tmp_path / "bundle", **ABOUT, calibration=pictures)
    assert list(tmp_path.iterdir()) == []


def test_a_format_far_from_the_golden_answers_is_refused(add, settings):
    with pytest.raises(BundleError, match=r"golden image .* score off by .* \(allowed 0\.0001\)"):
        add(dataclasses.replace(settings, formats=["int8"], int8_score_tolerance=0.0001))


def test_int8_needs_images_to_calibrate_with(add, no_pictures, settings):
    with pytest.raises(ValueError, match="the validation split holds no image to calibrate with"):
        add(dataclasses.replace(settings, formats=["int8"]), no_pictures)


@pytest.mark.parametrize("formats", [["int4"], ["int8", "int8"]])
def test_unknown_formats_are_named(settings, formats):
    with pytest.raises(ValueError, match="each of int8, pt2 is allowed once"):
        dataclasses.replace(settings, formats=formats)
