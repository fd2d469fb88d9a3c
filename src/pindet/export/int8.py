"""``model.int8.onnx``: the convolutions of ``model.onnx`` in 8-bit integers, the rest as it was.

Static quantisation of ONNX Runtime: weights per channel, activations with the ranges seen on calibration images, as
pairs of QuantizeLinear and DequantizeLinear that other engines read, too. What comes before the first convolutions and
from the last ones on stays in floating point: the last ones give scores and distances, where a rounding step is a
visible error; decoding and selection compute with coordinates, which 256 values cannot hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from pindet_serve.images import Image

from pindet.export.graph import strip

KINDS = ("Conv", "Add", "Clip", "Concat", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid")
"""Operators that are quantised where they lie between convolutions; leaving some out costs time and accuracy both."""
PREPARED = "onnx.quant.pre_process"


def quantise(model: Path, output: Path, images: Iterable[Image]) -> None:
    """Quantise an exported model; the same model and images give the same bytes.

    Args:
        model: ``model.onnx`` of a bundle.
        output: file to write.
        images: letterboxed images uint8 ``[H, W, 3]`` to calibrate with; at least one.
    """
    graph = onnx.load(model)
    # The exporter has folded constants and written shapes: the library would ask for both with a warning.
    graph.metadata_props.add(key=PREPARED, value="onnxruntime.quant")
    with _quiet():
        quantize_static(
            graph,
            output,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(KINDS),
            nodes_to_exclude=_outside(graph.graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    result = onnx.load(output)
    strip(result)
    onnx.save(result, output)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Gives the images one by one, as the library asks for them."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._images, None)
        return None if image is None else {"images": np.ascontiguousarray(image)[None]}


def _outside(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that do not lie between convolutions, the last of these among them."""
    after: set[str] = set()  # values that depend on a convolution
    for node in graph.node:
        if node.op_type == "Conv" or after.intersection(node.input):
            after.update(node.output)
    before: set[str] = set()  # values on which a convolution depends
    between = set()
    for node in reversed(graph.node):
        leads_on = bool(before.intersection(node.output))
        if leads_on and (node.op_type == "Conv" or after.intersection(node.input)):
            between.add(node.name)
        if node.op_type == "Conv" or leads_on:
            before.update(node.input)
    return [node.name for node in graph.node if node.name not in between]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's remarks on the root logger; errors still rise."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
