"""The engines that can run a bundle's model, chosen by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pindet_serve.detector import Detector
from pindet_serve.settings import Settings, SettingsError


def chosen_engine(settings: Settings) -> str:
    """The engine that ``settings`` ask for: by name, or OpenVINO where it is installed, else ONNX Runtime.

    Raises:
        SettingsError: OpenVINO is asked for and not installed; there is no silent fall-back.
    """
    installed = importlib.util.find_spec("openvino") is not None
    if settings.engine == "openvino" and not installed:
        raise SettingsError("engine is 'openvino', which is not installed; pip install 'pindet-serve[openvino]'")
    if settings.engine != "auto":
        return settings.engine
    return "openvino" if installed else "onnxruntime"


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
