"""``model.pt2`` on an NVIDIA GPU with torch: half precision, one CUDA graph for each batch size.

``model.pt2`` is what ``torch.export.save`` writes of the network alone: images uint8 ``[N, H, W, 3]`` RGB to boxes
``[N, A, 4]`` xyxy in letterboxed pixels and scores ``[N, A, C]``, ``N`` free. Its extra file ``selection.json`` says
how those become detections: ``{"nms_iou_threshold", "max_candidates", "score_floor"}``. Suppression has as many steps
as there are objects, which no graph can hold; it runs behind the graph.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torchvision.ops import batched_nms

from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import BundleError, Manifest

PROGRAM, SELECTION = "model.pt2", "selection.json"
_WARM_UP = 3


@dataclass(frozen=True)
class Selection:
    """From candidates to detections; see :func:`select`."""

    nms_iou_threshold: float
    max_candidates: int
    score_floor: float


@dataclass(frozen=True)
class _Graph:
    """A captured run, and the memory that it reads from and writes to."""

    images: Tensor
    boxes: Tensor
    scores: Tensor
    graph: Any


class TorchEngine:
    """The program of a bundle; see :class:`~pindet_serve.engine.Engine`.

    Args:
        bundle: folder of a verified bundle.
        manifest: of that bundle.
        max_batch: most images for which a graph is captured; more run without one.
        device: ``cuda``; ``cpu``, in full precision and without graphs, is for comparing answers.

    Raises:
        BundleError: no program, or one that does not fit the contract.
        DeviceMissingError: torch has no GPU.
    """

    name, model_format, streams = "torch", "pt2", 1

    def __init__(self, bundle: Path, manifest: Manifest, *, max_batch: int, device: str = "cuda") -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceMissingError(f"torch {torch.__version__} can use no GPU; is it a build for CUDA?")
        self.device, self.half = device, device == "cuda"
        self._device = torch.device(device)
        self._size = (manifest.image_height, manifest.image_width, 3)
        self._limit = manifest.max_detections
        self._network, self._selection = _load(bundle / PROGRAM, self._device)
        self._check(len(manifest.classes))
        pool = torch.cuda.graph_pool_handle() if device == "cuda" else None
        self._graphs = {size: self._captured(size, pool) for size in range(1, max_batch + 1) if pool is not None}

    def infer(
        self, images: NDArray[Any], *, alone: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Run the program on images uint8 ``[N, H, W, 3]`` RGB."""
        del alone  # there is one stream
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(images))
            graph = self._graphs.get(len(images))
            if graph is None:
                boxes, scores = self._candidates(given.to(self._device))
            else:
                graph.images.copy_(given)
                graph.graph.replay()
                boxes, scores = graph.boxes, graph.scores
            found = select(boxes.float(), scores.float(), self._selection, self._limit)
            kept_boxes, kept_scores, labels = (part.cpu().numpy() for part in found)
        return kept_boxes, kept_scores, labels

    def _candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self._device.type, torch.float16, enabled=self.half, cache_enabled=False):
            boxes, scores = self._network(images)
        return boxes, scores

    def _check(self, classes: int) -> None:
        images = torch.zeros((2, *self._size), dtype=torch.uint8, device=self._device)
        try:
            with torch.inference_mode():
                boxes, scores = self._candidates(images)
        except Exception as error:  # a program can raise anything
            raise BundleError(f"{PROGRAM} does not take uint8 {[2, *self._size]}: {error!r}") from error
        anchors = boxes.shape[1]
        if boxes.shape != (2, anchors, 4) or scores.shape != (2, anchors, classes):
            raise BundleError(
                f"{PROGRAM} gives boxes {list(boxes.shape)} and scores {list(scores.shape)} for two images; "
                f"allowed are [2, A, 4] and [2, A, {classes}]"
            )

    def _captured(self, size: int, pool: Any) -> _Graph:
        """Capture a run of ``size`` images."""
        images = torch.zeros((size, *self._size), dtype=torch.uint8, device=self._device)
        with torch.inference_mode():
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(stream):  # libraries choose and allocate in the first runs, which a graph can not
                for _ in range(_WARM_UP):
                    self._candidates(images)
            torch.cuda.current_stream(self._device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Thread-local: during a reload another thread goes on inferring with the model before.
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                boxes, scores = self._candidates(images)
        return _Graph(images, boxes, scores, graph)


def select(boxes: Tensor, scores: Tensor, selection: Selection, limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of box and class, suppression within each class, the best ``limit`` of what is left.

    Args:
        boxes: float32 ``[N, A, 4]`` xyxy.
        scores: float32 ``[N, A, C]``.
        selection: what is looked at, and which overlaps are suppressed.
        limit: most detections an image, ``K``.

    Returns:
        boxes ``[N, K, 4]``, scores ``[N, K]`` best first and labels int64 ``[N, K]``, zeros after the last.
    """
    count, _, classes = scores.shape
    out_boxes, out_scores = boxes.new_zeros((count, limit, 4)), scores.new_zeros((count, limit))
    out_labels = torch.zeros((count, limit), dtype=torch.int64, device=scores.device)
    ranked, places = scores.flatten(1).sort(dim=1, descending=True, stable=True)
    for i in range(count):
        top = ranked[i, : selection.max_candidates]
        top = top[top > selection.score_floor]
        place = places[i, : len(top)]
        labels, candidates = place % classes, boxes[i, torch.div(place, classes, rounding_mode="floor")]
        # In order of their scores: sorting the positions sorts the scores, ties included.
        kept = batched_nms(candidates, top, labels, selection.nms_iou_threshold).sort().values[:limit]
        out_boxes[i, : len(kept)], out_scores[i, : len(kept)] = candidates[kept], top[kept]
        out_labels[i, : len(kept)] = labels[kept]
    return out_boxes, out_scores, out_labels


def _load(path: Path, device: torch.device) -> tuple[Any, Selection]:
    extra: dict[str, Any] = {SELECTION: ""}
    try:
        program = torch.export.load(path, extra_files=extra)
        selection = Selection(**json.loads(extra[SELECTION]))
        return move_to_device_pass(program, device).module(), selection
    except FileNotFoundError as error:
        raise BundleError(f"the bundle holds no {PROGRAM}; use engine onnxruntime or auto") from error
    except Exception as error:  # torch raises many types, and the extra file may be anything
        raise BundleError(f"{PROGRAM} can not be loaded: {error!r}; was it written by another torch?") from error
