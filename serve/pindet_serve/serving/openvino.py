"""``model.onnx`` on OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from numpy.typing import NDArray

from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import PLAIN, BundleError, Manifest
from pindet_serve.onnx_engine import MODEL, OUTPUTS


class OpenVinoEngine:
    """The model of a bundle with OpenVINO's kernels; see :class:`~pindet_serve.engine.Engine`.

    Args:
        bundle: folder of a verified bundle.
        threads: CPU threads of one inference; 0 lets OpenVINO choose.
        model_format: ``onnx``, or one of the manifest's formats that is ONNX.
        half: compute in 16 bits (bf16) rather than 32.

    Raises:
        BundleError: OpenVINO can not load the model.
        DeviceMissingError: the processor has no instructions for ``half``, and would be slower with it.
    """

    name, device, streams = "openvino", "cpu", 1

    def __init__(
        self, bundle: Path, manifest: Manifest, *, threads: int = 0, model_format: str = PLAIN, half: bool = False
    ) -> None:
        self.model_format, self.half = model_format, half
        core = openvino.Core()
        if half and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise DeviceMissingError(
                "precision is 'half', and this processor has no instructions for bf16, without which 16 bits save "
                "nothing; use precision full, or int8"
            )
        file = manifest.file_of(model_format, MODEL)
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16" if half else "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            compiled = core.compile_model(str(bundle / file), "CPU", options)
            self._outputs = [compiled.output(name) for name in OUTPUTS]
        except Exception as error:  # OpenVINO raises RuntimeError and types of its own
            raise BundleError(f"{file} cannot be loaded by OpenVINO: {error}") from error
        self._request = compiled.create_infer_request()

    def infer(
        self, images: NDArray[Any], *, alone: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Run the model on images uint8 ``[N, H, W, 3]`` RGB."""
        del alone  # there is one stream
        self._request.infer({"images": images})
        # The request's own buffers are written again by the next call.
        boxes, scores, labels = (self._request.get_tensor(output).data.copy() for output in self._outputs)
        return boxes, scores, labels
