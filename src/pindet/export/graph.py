"""A trained model as ``model.onnx``: letterboxed uint8 images in, selected objects out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import onnx
import torch
from onnx import compose, shape_inference
from torch import Tensor, nn

from pindet.export.selection import INPUTS, OUTPUTS, selection_model
from pindet.models.contract import DetectionModel
from pindet.models.postprocess import Postprocess


class Candidates(nn.Module):
    """``DetectionModel.candidates`` on images as the bundle gets them: uint8 ``[N, H, W, 3]``."""

    def __init__(self, model: DetectionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.candidates(images.permute(0, 3, 1, 2))


def export_model(model: DetectionModel, postprocess: Postprocess, *, opset: int) -> onnx.ModelProto:
    """Export a model with its post-processing; equal models give equal bytes.

    Args:
        model: in evaluation mode, on the CPU.
        postprocess: what ``select`` would be called with.
        opset: version of the ONNX operators.

    Returns:
        input ``images`` uint8 ``[N, H, W, 3]`` RGB letterboxed, ``N`` free; outputs as in
        :func:`pindet.export.selection.selection_model`. Nothing in it names a path, a user, a time or a line of code.

    Raises:
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("the model is in training mode; call model.eval() before the export")
    candidates = _export_candidates(model, opset)
    _, anchors, classes = _shape(candidates.graph.output[1])
    selection = selection_model(
        anchors, classes, postprocess.of(model), opset=opset, ir_version=candidates.ir_version
    )
    merged = compose.merge_models(
        candidates, selection, io_map=list(zip(INPUTS, INPUTS, strict=True)), prefix1="network/", prefix2="selection/"
    )
    result = _renamed(merged, {"network/images": "images"} | {f"selection/{name}": name for name in OUTPUTS})
    strip(result)
    onnx.checker.check_model(shape_inference.infer_shapes(result), full_check=True)
    return result


def _export_candidates(model: DetectionModel, opset: int) -> onnx.ModelProto:
    network = Candidates(model).eval()
    # Two images: torch.export would take a batch of one for a constant.
    images = torch.zeros(2, model.image_height, model.image_width, 3, dtype=torch.uint8)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (images,),
            input_names=["images"],
            output_names=list(INPUTS),
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    exported: onnx.ModelProto = program.model_proto
    return exported


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about its own code; errors still rise."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "onnx_ir")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def _renamed(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    return model


def strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter tells of the machine and the code: stack traces, module names, doc strings."""
    model.producer_name, model.producer_version, model.domain, model.doc_string = "pindet", "", "", ""
    model.graph.name, model.graph.doc_string = "detector", ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    # Whatever a later exporter leaves in functions or nested graphs would go out unseen.
    assert not model.functions
    del model.opset_import[1:]  # compose lists it once per part
    for node in model.graph.node:
        assert not node.domain
        assert not any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    _strip_each(model.graph.node)
    _strip_each(model.graph.input)
    _strip_each(model.graph.output)
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def _strip_each(parts: Iterable[onnx.NodeProto | onnx.ValueInfoProto]) -> None:
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
