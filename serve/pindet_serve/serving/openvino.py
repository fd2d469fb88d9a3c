"""The detector runtime on OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from numpy.typing import NDArray

from pindet_serve.detector import MODEL, OUTPUTS, Detector
from pindet_serve.letterbox import Letterbox
from pindet_serve.manifest import BundleError, read_manifest, verify_files


class OpenVinoDetector(Detector):
    """Answers as :class:`Detector` does, with OpenVINO's kernels in 32 bits.

    One thread at a time may call it.
    """

    def __init__(self, bundle: Path, *, threads: int = 0) -> None:
        # Detector's own constructor would open a session of ONNX Runtime beside this one.
        self.manifest = read_manifest(bundle)
        verify_files(bundle, self.manifest)
        self._letterbox = Letterbox(self.manifest.image_height, self.manifest.image_width, self.manifest.letterbox_fill)
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            compiled = openvino.Core().compile_model(str(bundle / MODEL), "CPU", options)
            self._outputs = [compiled.output(name) for name in OUTPUTS]
        except Exception as error:  # OpenVINO raises RuntimeError and types of its own
            raise BundleError(f"{MODEL} cannot be loaded by OpenVINO: {error}") from error
        self._request = compiled.create_infer_request()

    def infer(self, images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Run the model on letterboxed images uint8 ``[N, H, W, 3]`` RGB; see :meth:`Detector.infer`."""
        self._request.infer({"images": images})
        # The request's own buffers are written again by the next call.
        boxes, scores, labels = (self._request.get_tensor(output).data.copy() for output in self._outputs)
        return boxes, scores, labels
