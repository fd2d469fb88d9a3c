"""The engines that can run a bundle's model, chosen by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pindet_serve.detector import Detector
from pindet_serve.settings import Settings, SettingsError


def chosen_engine(settings: Settings) -> str:
    """The engine that ``settings`` ask for; ``auto`` is ONNX Runtime, which is always there.

    On the CPU it takes less time and memory than OpenVINO for this project's models, so nothing is tried out at the
    start.

    Raises:
        SettingsError: OpenVINO is asked for and not installed; there is no silent fall-back.
    """
    if settings.engine == "openvino" and importlib.util.find_spec("openvino") is None:
        raise SettingsError("engine is 'openvino', which is not installed; pip install 'pindet-serve[openvino]'")
    return "onnxruntime" if settings.engine == "auto" else settings.engine


def open_detector(bundle: Path, settings: Settings) -> Detector:
    """Open a bundle with the engine that ``settings`` ask for.

    Raises:
        BundleError: the bundle is not what its manifest says, or the engine can not run it.
        SettingsError: the engine is not installed.
    """
    if chosen_engine(settings) == "onnxruntime":
        return Detector(bundle, threads=settings.threads)
    from pindet_serve.serving.openvino import OpenVinoDetector

    return OpenVinoDetector(bundle, threads=settings.threads)
