"""Which engine runs, on which device: what is asked for or nothing; else what is there."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from pindet_serve.engine import DeviceMissingError
from pindet_serve.golden import prove
from pindet_serve.manifest import (
    BundleError,
    ModelFormat,
    list_files,
    read_manifest,
    write_manifest,
)  # fmt: skip
from pindet_serve.onnx_engine import OnnxRuntimeEngine
from pindet_serve.serving.engines import Choice, choose, open_detector, require_engine
from pindet_serve.serving.hardware import Hardware, find_hardware
from pindet_serve.settings import Settings, SettingsError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
PLAIN = Hardware(0, frozenset(), frozenset([CPU]))
ALL = Hardware(1, frozenset(["torch", "openvino"]), frozenset([CPU, CUDA, TENSORRT]))
ONLY_GPU = Hardware(1, frozenset(), frozenset([CPU]))
NO_TORCH = Hardware(1, frozenset(), frozenset([CPU, CUDA]))
NO_PROVIDER = Hardware(1, frozenset(["torch"]), frozenset([CPU]))


@pytest.mark.parametrize(
    ("engine", "device", "hardware", "program", "expected"),
    [
        ("auto", "auto", PLAIN, True, ("onnxruntime", "cpu")),
        ("auto", "auto", ALL, True, ("torch", "cuda")),
        ("auto", "auto", ALL, False, ("onnxruntime", "cuda")),
        ("auto", "auto", ONLY_GPU, True, ("onnxruntime", "cpu")),
        ("auto", "auto", NO_TORCH, True, ("onnxruntime", "cuda")),
        ("auto", "auto", NO_PROVIDER, True, ("torch", "cuda")),
        ("auto", "auto", NO_PROVIDER, False, ("onnxruntime", "cpu")),
        ("auto", "cpu", ALL, True, ("onnxruntime", "cpu")),
        ("auto", "cuda", ALL, True, ("torch", "cuda")),
        ("auto", "cuda", ALL, False, ("onnxruntime", "cuda")),
        ("auto", "cuda", NO_PROVIDER, False, DeviceMissingError),
        ("auto", "cuda", ONLY_GPU, True, DeviceMissingError),
        ("auto", "cuda", PLAIN, True, DeviceMissingError),
        ("auto", "tensorrt", ALL, True, ("onnxruntime", "tensorrt")),
        ("auto", "tensorrt", NO_TORCH, True, DeviceMissingError),
        ("auto", "tensorrt", PLAIN, True, DeviceMissingError),
        ("onnxruntime", "auto", ALL, True, ("onnxruntime", "cuda")),
        ("onnxruntime", "auto", PLAIN, True, ("onnxruntime", "cpu")),
        ("onnxruntime", "cuda", ALL, True, ("onnxruntime", "cuda")),
        ("onnxruntime", "cuda", NO_PROVIDER, True, DeviceMissingError),
        ("onnxruntime", "cuda", PLAIN, True, DeviceMissingError),
        ("openvino", "auto", ALL, True, ("openvino", "cpu")),
        ("openvino", "cpu", PLAIN, True, DeviceMissingError),
        ("torch", "auto", ALL, True, ("torch", "cuda")),
        ("torch", "cuda", ALL, False, BundleError),
        ("torch", "cuda", NO_TORCH, True, DeviceMissingError),
        ("torch", "auto", Hardware(0, ALL.packages, ALL.providers), True, DeviceMissingError),
    ],
)
def test_what_is_asked_for_or_nothing_else_what_is_there(engine, device, hardware, program, expected):
    settings = Settings(engine=engine, device=device)
    if isinstance(expected, tuple):
        assert choose(settings, hardware, has_program=program) == Choice(*expected)
        return
    with pytest.raises(expected, match=r"pip install|use engine|use device"):
        choose(settings, hardware, has_program=program)


@pytest.mark.parametrize(("engine", "device"), [("openvino", "cuda"), ("openvino", "tensorrt"), ("torch", "cpu")])
def test_an_engine_that_never_runs_there_is_a_wrong_setting(engine, device):
    with pytest.raises(SettingsError, match=f"engine {engine} runs on"):
        Settings(engine=engine, device=device)


@pytest.mark.parametrize(("precision", "runs"), [("int8", "onnxruntime"), ("half", "openvino")])
def test_fewer_bits_are_for_one_engine_on_the_cpu(precision, runs):
    for engine in ("auto", runs):
        settings = Settings(precision=precision, engine=engine)
        assert choose(settings, ALL, has_program=True) == Choice(runs, "cpu")
    other = "openvino" if runs == "onnxruntime" else "onnxruntime"
    for engine, device in ((other, "auto"), ("torch", "auto"), ("auto", "cuda")):
        with pytest.raises(SettingsError, match=f"{precision} runs with engine {runs} on device cpu"):
            Settings(precision=precision, engine=engine, device=device)


def test_half_precision_needs_its_package():
    said = r"precision 'half', and OpenVINO is not installed; pip install .*openvino"
    with pytest.raises(DeviceMissingError, match=said):
        choose(Settings(precision="half"), PLAIN, has_program=True)


def test_half_precision_is_served_where_the_processor_has_it_and_refused_elsewhere(tmp_path, make_bundle, scene):
    openvino = pytest.importorskip("openvino")
    bundle = make_bundle(tmp_path / "bundle")
    half = Settings(precision="half", threads=1)
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(DeviceMissingError, match="no instructions for bf16"):
            open_detector(bundle, half)
        return
    detector = open_detector(bundle, half)
    assert detector.engine.half and prove(detector, bundle) == 2
    assert sorted(detector.detect([scene()])[0].labels.tolist()) == [0, 1, 2]


def test_eight_bits_are_served_where_the_bundle_has_them(tmp_path, make_bundle, scene):
    bundle = make_bundle(tmp_path / "bundle")
    eight = Settings(precision="int8", threads=1)
    with pytest.raises(BundleError, match=r"holds no format 'int8', it holds onnx; add it to export\.formats"):
        open_detector(bundle, eight)
    shutil.copy(bundle / "model.onnx", bundle / "model.int8.onnx")  # whether it is smaller is the export's business
    manifest = replace(
        read_manifest(bundle), files=list_files(bundle),
        formats={"int8": ModelFormat("model.int8.onnx", 8.0, 0.25, {})},
    )  # fmt: skip
    write_manifest(bundle, manifest)
    detector = open_detector(bundle, eight)
    assert detector.engine.model_format == "int8"
    assert sorted(detector.detect([scene()])[0].labels.tolist()) == [0, 1, 2]


def test_a_device_that_is_missing_here_stops_the_start():
    if find_hardware(gpus=True).gpus:
        pytest.skip("there is a GPU")
    for engine in ("auto", "onnxruntime", "torch"):
        with pytest.raises(DeviceMissingError, match="no NVIDIA GPU"):
            require_engine(Settings(engine=engine, device="cuda"))
    require_engine(Settings())


def test_nothing_is_looked_for_that_is_not_wanted(monkeypatch):
    monkeypatch.setattr("pindet_serve.serving.hardware._count_gpus", lambda: pytest.fail("looked for a GPU"))
    require_engine(Settings(device="cpu"))


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_onnx_runtime_never_falls_back(tmp_path, make_bundle, monkeypatch, device):
    bundle = make_bundle(tmp_path / "bundle")
    with pytest.raises(DeviceMissingError, match=f"'{device}', and this ONNX Runtime runs on"):
        OnnxRuntimeEngine(bundle, read_manifest(bundle), device=device)
    # A build for GPUs whose libraries are missing warns, and runs on the CPU.
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    monkeypatch.setattr("pindet_serve.onnx_engine._providers", lambda *_: [CPU])
    with pytest.raises(DeviceMissingError, match="fell back to CPUExecutionProvider"):
        OnnxRuntimeEngine(bundle, read_manifest(bundle), device=device)


def test_a_detector_runs_what_it_is_given(tmp_path, make_bundle, scene):
    bundle = make_bundle(tmp_path / "bundle")
    detector = open_detector(bundle, Settings(engine="onnxruntime", device="cpu", threads=1))
    assert (detector.engine.name, detector.engine.device) == ("onnxruntime", "cpu")
    (found,) = detector.detect([scene()])
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    assert np.allclose(found.scores, 0.9)
