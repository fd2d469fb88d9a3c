"""``model.pt2``: the network for the torch engine of the server, with what its selection needs to know."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from pindet.export.graph import Candidates
from pindet.models.contract import DetectionModel
from pindet.models.postprocess import Postprocess

PROGRAM, SELECTION = "model.pt2", "selection.json"


def write_program(bundle: Path, model: DetectionModel, postprocess: Postprocess) -> None:
    """Write ``model.pt2`` into a bundle that is being made; equal models give equal bytes, which name no path.

    Args:
        bundle: folder; its manifest has to list the file afterwards.
        model: in evaluation mode, on the CPU.
        postprocess: what ``select`` would be called with.
    """
    images = torch.zeros(2, model.image_height, model.image_width, 3, dtype=torch.uint8)
    batch = torch.export.Dim("N")
    with torch.no_grad():
        program = torch.export.export(Candidates(model).eval(), (images,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:  # which line of whose file made it: nothing that a bundle should say
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(key, None)
    selection = {name: getattr(postprocess, name) for name in ("nms_iou_threshold", "max_candidates", "score_floor")}
    torch.export.save(program, bundle / PROGRAM, extra_files={SELECTION: json.dumps(selection)})
