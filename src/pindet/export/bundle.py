"""``models/bundle``: written beside its place, proved, then moved there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
from pindet_serve.detector import MODEL, Detector
from pindet_serve.golden import Tolerance, load_proven, write_golden
from pindet_serve.images import Image
from pindet_serve.letterbox import Letterbox
from pindet_serve.manifest import Manifest, list_files, write_manifest

from pindet.data.workspace import workspace
from pindet.export.graph import export_model
from pindet.export.operating import OperatingPoint
from pindet.models.store import Trained


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to fill; it takes the place of ``output`` when the block ends, and goes when the block fails."""
    with workspace(output) as work:
        new = work / "new"
        new.mkdir()
        yield new
        if output.exists():
            output.rename(work / "old")
        new.rename(output)


def write_model(
    bundle: Path,
    trained: Trained,
    operating: OperatingPoint,
    *,
    opset: int,
    metrics: Mapping[str, float],
    data_md5: str,
) -> Detector:
    """Export the model into an empty folder, with a manifest, and load it from there."""
    onnx.save(export_model(trained.model, operating.postprocess(), opset=opset), bundle / MODEL)
    letterbox = Letterbox(trained.model.image_height, trained.model.image_width)
    manifest = Manifest(
        classes=trained.classes,
        image_height=letterbox.image_height,
        image_width=letterbox.image_width,
        letterbox_fill=letterbox.fill,
        letterbox_resampling=letterbox.resampling,
        score_threshold=operating.score_threshold,
        max_detections=operating.max_detections,
        metrics=dict(metrics),
        data_md5=data_md5,
        files=list_files(bundle),
    )
    write_manifest(bundle, manifest)
    return Detector(bundle)


def add_golden(
    bundle: Path, detector: Detector, images: Sequence[Image], tolerance: Tolerance, score_threshold: float
) -> None:
    """Add images and the bundle's own answers to it, and let it prove itself.

    Raises:
        BundleError: the bundle that was just written is not what it says.
    """
    answers = [detector.detect([image], score_threshold=score_threshold)[0] for image in images]
    write_golden(bundle, images, answers, tolerance, score_threshold)
    write_manifest(bundle, replace(detector.manifest, files=list_files(bundle)))
    load_proven(bundle)
