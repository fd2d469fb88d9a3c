"""``model.onnx`` or its int8 format on ONNX Runtime: on the CPU, or on an NVIDIA GPU by CUDA or TensorRT."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import PLAIN, BundleError, Manifest

MODEL = "model.onnx"
OUTPUTS = ["boxes", "scores", "labels"]
Raw = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
INSTALL_FOR_GPU = (
    "pip install 'pindet-serve[gpu]', then pip uninstall onnxruntime and pip install --force-reinstall --no-deps "
    "onnxruntime-gpu: the two overwrite each other's files"
)
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class OnnxRuntimeEngine:
    """The model of a bundle in a session of ONNX Runtime; see :class:`~pindet_serve.engine.Engine`.

    Args:
        bundle: folder of a verified bundle.
        manifest: of that bundle.
        threads: CPU threads of one inference; 0 lets ONNX Runtime take every core.
        device: ``cpu``, ``cuda`` or ``tensorrt``.
        max_batch: most images in one inference; TensorRT builds for no more.
        cache: folder in which TensorRT keeps what it has built.
        model_format: ``onnx``, or one of the manifest's formats that is ONNX.

    Raises:
        BundleError: the bundle does not have that format, the model can not be loaded, or does not fit the contract.
        DeviceMissingError: ONNX Runtime would run it elsewhere than on ``device``.
    """

    name = "onnxruntime"

    def __init__(
        self,
        bundle: Path,
        manifest: Manifest,
        *,
        threads: int = 0,
        device: str = "cpu",
        max_batch: int = 1,
        cache: Path | None = None,
        model_format: str = PLAIN,
    ) -> None:
        self.device, self.half, self.model_format = device, device == "tensorrt", model_format
        self._file = manifest.file_of(model_format, MODEL)
        if PROVIDERS[device] not in onnxruntime.get_available_providers():
            raise DeviceMissingError(
                f"device is {device!r}, and this ONNX Runtime runs on {onnxruntime.get_available_providers()}; "
                f"{INSTALL_FOR_GPU}"
            )
        self._session = _open(bundle / self._file, _providers(device, manifest, max_batch, cache), threads)
        if (seen := self._session.get_providers()[0]) != PROVIDERS[device]:
            raise DeviceMissingError(
                f"device is {device!r}, and ONNX Runtime fell back to {seen}; its log says which library is missing"
            )
        self._check_shapes(manifest)
        self.streams = (threads or os.cpu_count() or 1) if device == "cpu" else 1
        self._running, self._counting = 0, threading.Lock()
        self._narrow, self._pool = self._session, None
        if self.streams > 1:
            self._narrow = _open(bundle / self._file, _providers(device, manifest, max_batch, cache), 1)
            self._pool = ThreadPoolExecutor(self.streams, "onnx")

    def infer(self, images: NDArray[Any], *, alone: bool = True) -> Raw:
        """Run the model on images uint8 ``[N, H, W, 3]`` RGB.

        On the CPU an image that is alone has every core, and of several each has a core of its own: none then waits for
        another at the end of every layer, which costs most when the machine does other work, too. The engine sees who
        else calls it; ``alone`` says whether others are on their way to it.
        """
        if self._pool is None:
            return self._run(self._session, images)
        if len(images) == 1:
            return self._run_one(images, alone)
        answers = self._pool.map(self._run, itertools.repeat(self._narrow), images[:, None])
        boxes, scores, labels = (np.concatenate(each) for each in zip(*answers, strict=True))
        return boxes, scores, labels

    def _run_one(self, image: NDArray[Any], alone: bool) -> Raw:
        with self._counting:
            self._running += 1
            session = self._session if alone and self._running == 1 else self._narrow
        try:
            return self._run(session, image)
        finally:
            with self._counting:
                self._running -= 1

    def _run(self, session: onnxruntime.InferenceSession, images: NDArray[Any]) -> Raw:
        boxes, scores, labels = session.run(OUTPUTS, {"images": images})
        return boxes, scores, labels

    def _check_shapes(self, manifest: Manifest) -> None:
        (images,) = self._session.get_inputs()
        expected = [manifest.image_height, manifest.image_width, 3]
        if images.type != "tensor(uint8)" or images.shape[1:] != expected:
            raise BundleError(
                f"{self._file} takes images of {images.type} {images.shape}; its manifest says uint8 and {expected} "
                "after N"
            )
        most = [output.shape[1] for output in self._session.get_outputs()]
        if set(most) != {manifest.max_detections}:
            raise BundleError(
                f"{self._file} gives {most} detections an image; its manifest says {manifest.max_detections}"
            )


def _providers(device: str, manifest: Manifest, max_batch: int, cache: Path | None) -> list[Any]:
    """The provider of the device and, for operators that it does not know, those that ONNX Runtime needs beside it."""
    if device == "cpu":
        return [PROVIDERS["cpu"]]
    if device == "cuda":
        # Heuristics choose the convolutions: trying them all out would take the first requests.
        return [(PROVIDERS["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"}), PROVIDERS["cpu"]]
    size = f"{manifest.image_height}x{manifest.image_width}x3"
    options: dict[str, Any] = {
        "trt_fp16_enable": True,
        "trt_profile_min_shapes": f"images:1x{size}",
        "trt_profile_opt_shapes": f"images:{max_batch}x{size}",
        "trt_profile_max_shapes": f"images:{max_batch}x{size}",
    }
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        options |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache)}
    return [(PROVIDERS["tensorrt"], options), PROVIDERS["cuda"], PROVIDERS["cpu"]]


def _open(path: Path, providers: list[Any], threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait by spinning take the cores from whatever decodes the next image.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types, none of them exported
        raise BundleError(f"{path.name} cannot be loaded: {error}") from error
    inputs = [node.name for node in session.get_inputs()]
    outputs = [node.name for node in session.get_outputs()]
    if inputs != ["images"] or set(outputs) != set(OUTPUTS):
        raise BundleError(f"{path.name} takes {inputs} and gives {outputs}; allowed are ['images'] and {OUTPUTS}")
    return session
