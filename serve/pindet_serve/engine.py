"""What runs a bundle's model: one small interface, whatever the runtime and the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from pindet_serve.manifest import Manifest


class DeviceMissingError(ValueError):
    """A device, or the runtime for it, was asked for and is not there; nothing else takes its place."""


class Engine(Protocol):
    """Runs the model of one bundle on letterboxed images.

    Attributes:
        name: of the runtime: ``onnxruntime``, ``openvino``, ``torch``.
        device: where it runs: ``cpu``, ``cuda``, ``tensorrt``.
        half: whether it computes in half precision, which is held to wider tolerances.
        streams: how many threads at a time may call it. One: images go faster together, in a batch. More: each image
            goes on its own, as soon as a stream is free.
        model_format: which format of the bundle's model it runs: ``onnx`` or one of the manifest's formats.
    """

    name: str
    device: str
    half: bool
    streams: int
    model_format: str

    def infer(
        self, images: NDArray[Any], *, alone: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Run the model on images uint8 ``[N, H, W, 3]`` RGB.

        Args:
            images: the letterboxed images.
            alone: whether nothing else wants the processor meanwhile. An engine with streams then gives a single image
                every core; the others have no use for it.

        Returns:
            boxes float32 ``[N, K, 4]`` xyxy in letterboxed pixels, scores float32 ``[N, K]``, labels int64
            ``[N, K]``; places without an object have score 0.
        """
        ...


OpenEngine = Callable[[Path, Manifest], Engine]
"""Opens the model of a bundle whose files were verified; raises BundleError or :class:`DeviceMissingError`."""
