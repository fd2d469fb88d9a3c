"""Further formats of a bundle's model, each held to the golden answers and to the map of ``model.onnx``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from pindet_serve.detections import Detections
from pindet_serve.detector import MODEL, Detector
from pindet_serve.engine import Engine, OpenEngine
from pindet_serve.golden import prove
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox
from pindet_serve.manifest import Manifest, ModelFormat, list_files, read_manifest, write_manifest
from pindet_serve.onnx_engine import OnnxRuntimeEngine

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.metrics import coco_metrics
from pindet.export.int8 import quantise
from pindet.export.program import PROGRAM, write_program
from pindet.export.settings import ExportSettings
from pindet.models.contract import DetectionModel
from pindet.models.postprocess import Postprocess

log = logging.getLogger(__name__)

INT8, PT2 = "int8", "pt2"
FILES = {INT8: "model.int8.onnx", PT2: PROGRAM}
BATCH_SIZE = 8


class MapDropError(ValueError):
    """A format finds objects noticeably worse than ``model.onnx``; the message says by how much."""


def add_formats(
    bundle: Path,
    model: DetectionModel,
    postprocess: Postprocess,
    settings: ExportSettings,
    calibration: PreparedSplit | None,
    test: PreparedSplit,
    plain_map: float | None,
) -> dict[str, float]:
    """Write the formats that are asked for into a bundle that has proved itself.

    Args:
        bundle: folder with ``model.onnx``, golden answers and manifest.
        model: the trained one, in evaluation mode, on the CPU.
        calibration: images whose activations set the ranges of integers; at least one for ``int8``.
        test: what the map is measured on.
        plain_map: that of ``model.onnx``, where it is defined.

    Returns:
        ``<format>_map`` and ``<format>_map_drop``, where the map is defined.

    Raises:
        MapDropError: a format loses more than ``settings.max_map_drop``.
        BundleError: a format is further from the golden answers than it may be.
        ValueError: no image to calibrate with.
    """
    measured: dict[str, float] = {}
    for name in sorted(settings.formats):
        log.info("making format %s", name)
        if name == INT8:
            quantise(bundle / MODEL, bundle / FILES[name], _calibration_images(calibration, model, settings))
        else:
            write_program(bundle, model, postprocess.of(model))
        _describe(bundle, name, settings, {})
        detector = Detector(bundle, engine=OPENERS[name])
        found = _map(detector, test)
        if found is not None and plain_map is not None:
            measured |= {f"{name}_map": round(found, 5), f"{name}_map_drop": round(plain_map - found, 5)}
            _check_drop(name, found, plain_map, settings.max_map_drop)
            _describe(bundle, name, settings, {"test/map": round(found, 6)})
        prove(Detector(bundle, engine=OPENERS[name]), bundle)
    return measured


def _on_torch(bundle: Path, manifest: Manifest) -> Engine:
    from pindet_serve.serving.torch_engine import TorchEngine  # only who writes a program needs it

    return TorchEngine(bundle, manifest, max_batch=1, device="cpu")


def _calibration_images(
    split: PreparedSplit | None, model: DetectionModel, settings: ExportSettings
) -> Iterator[Image]:
    """Letterboxed images, evenly spread over the split."""
    if split is None or not len(split):
        raise ValueError(
            "export.formats asks for int8, and the validation split holds no image to calibrate with; give "
            "data.val_fraction a share, or leave int8 out"
        )
    letterbox = Letterbox(model.image_height, model.image_width)
    count = min(len(split), settings.int8_calibration_images)
    return (letterbox(split.image(i * len(split) // count))[0] for i in range(count))


def _describe(bundle: Path, name: str, settings: ExportSettings, metrics: dict[str, float]) -> None:
    """Put a format into the manifest, with the digests of all files as they are now."""
    manifest = read_manifest(bundle)
    box, score = settings.golden_box_tolerance, settings.golden_score_tolerance
    if name == INT8:
        box, score = settings.int8_box_tolerance, settings.int8_score_tolerance
    formats = manifest.formats | {name: ModelFormat(FILES[name], box, score, metrics)}
    files = list_files(bundle)
    write_manifest(bundle, replace(manifest, files=files, formats=formats))


def _map(detector: Detector, split: PreparedSplit) -> float | None:
    found: list[Detections] = []
    for start in range(0, len(split), BATCH_SIZE):
        images = [split.image(i) for i in range(start, min(start + BATCH_SIZE, len(split)))]
        found += detector.detect(images, score_threshold=0)
    return coco_metrics(split, found).get("map")


def _check_drop(name: str, found: float, plain: float, most: float) -> None:
    if plain - found > most:
        raise MapDropError(
            f"format {name} has a test map of {found:.4f} and model.onnx one of {plain:.4f}: it loses "
            f"{plain - found:.4f}, export.max_map_drop allows {most}. No bundle was written; take {name} out of "
            "export.formats, raise the limit, or calibrate with more images (export.int8_calibration_images)"
        )


OPENERS: dict[str, OpenEngine] = {INT8: partial(OnnxRuntimeEngine, model_format=INT8), PT2: _on_torch}
