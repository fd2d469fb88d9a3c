"""Which engine runs a bundle, on which device: as asked, or by what is there; nothing is tried out for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pindet_serve.detector import Detector
from pindet_serve.engine import DeviceMissingError, OpenEngine
from pindet_serve.manifest import PLAIN, BundleError
from pindet_serve.onnx_engine import INSTALL_FOR_GPU, PROVIDERS, OnnxRuntimeEngine
from pindet_serve.serving.hardware import Hardware, find_hardware
from pindet_serve.settings import RUN_IN, Settings

PROGRAM = "model.pt2"
"""The file of a bundle that the torch engine runs; bundles need not have it."""

_NO_GPU = (
    "no NVIDIA GPU can be used here: there is none, or no driver, or the container was not given it (--gpus all); "
    "use device cpu, or auto to take what is there"
)


@dataclass(frozen=True)
class Choice:
    """An engine and its device, by their names."""

    engine: str
    device: str


def choose(settings: Settings, hardware: Hardware, *, has_program: bool) -> Choice:
    """Choose an engine.

    For int8 ONNX Runtime on the CPU, for half OpenVINO there. Where nothing is asked for: torch on a GPU if it is
    installed and the bundle has a program for it, else ONNX Runtime on a GPU if it is built for that, else ONNX Runtime
    on the CPU, where in 32 bits it takes less time and memory than OpenVINO for this project's models.

    Args:
        settings: what is asked for.
        hardware: what is there.
        has_program: whether the bundle holds ``model.pt2``.

    Raises:
        DeviceMissingError: what is asked for is not there; there is no silent fall-back.
        BundleError: torch is asked for and the bundle has no program.
    """
    engine, device = settings.engine, settings.device
    if settings.precision == "int8":
        return Choice("onnxruntime", "cpu")
    if engine == "openvino" or settings.precision == "half":
        asked = f"engine is {engine!r} and precision {settings.precision!r}"
        _need("openvino" in hardware.packages, f"{asked}, and OpenVINO is not installed", "[openvino]")
        return Choice("openvino", "cpu")
    on_gpu = engine == "torch" or device in ("cuda", "tensorrt")
    if on_gpu and not hardware.gpus:
        raise DeviceMissingError(f"engine is {engine!r} and device {device!r}, and {_NO_GPU}")
    if engine == "torch":
        _need("torch" in hardware.packages, "engine is 'torch', which is not installed", "[gpu]")
        if not has_program:
            raise BundleError(f"engine is 'torch', and the bundle holds no {PROGRAM}; use engine onnxruntime or auto")
        return Choice("torch", "cuda")
    if device == "cpu" or not hardware.gpus:
        return Choice("onnxruntime", "cpu")
    if engine == "auto" and device != "tensorrt" and has_program and "torch" in hardware.packages:
        return Choice("torch", "cuda")
    wanted = "cuda" if device == "auto" else device
    if PROVIDERS[wanted] in hardware.providers:
        return Choice("onnxruntime", wanted)
    if on_gpu:
        raise DeviceMissingError(f"device is {device!r}, and no engine for it is installed; {INSTALL_FOR_GPU}")
    return Choice("onnxruntime", "cpu")


def require_engine(settings: Settings) -> None:
    """Raise :class:`DeviceMissingError` if what is asked for can not be had here, whatever the bundle.

    Which instructions a processor has is known to its engine, and seen when that opens a bundle.
    """
    choose(settings, _hardware(settings), has_program=True)


def open_detector(bundle: Path, settings: Settings) -> Detector:
    """Open a bundle with the engine that ``settings`` ask for.

    Raises:
        BundleError: the bundle is not what its manifest says, or the engine can not run it.
        DeviceMissingError: the engine or its device is not there.
    """
    choice = choose(settings, _hardware(settings), has_program=(bundle / PROGRAM).is_file())
    return Detector(bundle, engine=_opener(choice, settings))


def _hardware(settings: Settings) -> Hardware:
    on_cpu = settings.device == "cpu" or settings.engine == "openvino" or settings.precision in RUN_IN
    return find_hardware(gpus=not on_cpu)


def _opener(choice: Choice, settings: Settings) -> OpenEngine:
    if choice.engine == "openvino":
        from pindet_serve.serving.openvino import OpenVinoEngine

        return partial(OpenVinoEngine, threads=settings.cores, half=settings.precision == "half")
    if choice.engine == "torch":
        from pindet_serve.serving.torch_engine import TorchEngine

        return partial(TorchEngine, max_batch=settings.max_batch)
    cache = settings.state / "tensorrt"
    return partial(
        OnnxRuntimeEngine,
        threads=settings.cores,
        device=choice.device,
        max_batch=settings.max_batch,
        cache=cache,
        model_format="int8" if settings.precision == "int8" else PLAIN,
    )


def _need(there: bool, what: str, extra: str) -> None:
    if not there:
        raise DeviceMissingError(f"{what}; pip install 'pindet-serve{extra}'")
