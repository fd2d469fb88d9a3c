"""The export stage in one call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pindet_serve.detections import Detections
from pindet_serve.detector import Detector
from pindet_serve.golden import Tolerance

from pindet.data.prepared import PreparedSplit
from pindet.export.bundle import add_golden, new_folder, write_model
from pindet.export.formats import add_formats
from pindet.export.golden import choose_golden, golden_threshold, shrink
from pindet.export.operating import OperatingPoint
from pindet.export.parity import Parity, check, compare
from pindet.export.profile import add_profile
from pindet.export.settings import ExportSettings
from pindet.models.predictor import Predictor
from pindet.models.store import Trained

log = logging.getLogger(__name__)

BATCH_SIZE = 8


def export(
    trained: Trained,
    test: PreparedSplit,
    operating: OperatingPoint,
    settings: ExportSettings,
    output: Path,
    *,
    metrics: Mapping[str, float],
    data_md5: str,
    calibration: PreparedSplit | None = None,
) -> Parity:
    """Write the bundle of a trained model, once it has been shown to answer as the model does.

    Args:
        trained: the model, on the CPU, and its class names.
        test: the split on which the two are compared and from which golden images come; at least one image.
        operating: chosen by the evaluation.
        settings: the ``export`` group.
        output: folder of the bundle; one that is there is replaced, but only by a bundle that passed.
        metrics: test metrics for the manifest.
        data_md5: DVC's md5 of the prepared data, for the manifest.
        calibration: the validation split, for the formats of ``settings.formats`` that need one.

    Returns:
        what :func:`pindet.export.parity.compare` and :func:`pindet.export.formats.add_formats` measured; the same at
        every run.

    Raises:
        ParityError: the bundle answers otherwise than the model.
        MapDropError: a further format finds objects noticeably worse.
        ValueError: the test split is empty, of other classes, or the model finds nothing in it.
    """
    if not len(test):
        raise ValueError(
            "the test split holds no image to prove the bundle on; raise data.test_fraction, or, where the data have "
            "splits of their own, list test images there"
        )
    if test.classes != trained.classes:
        raise ValueError(f"the model knows {trained.classes}, the data {test.classes}; train again (`dvc repro`)")
    with new_folder(output) as bundle:
        detector = write_model(bundle, trained, operating, opset=settings.opset, metrics=metrics, data_md5=data_md5)
        from_model, from_bundle = _answers(Predictor(trained.model, operating.postprocess()), detector, test)
        parity = compare(test, from_model, from_bundle, settings)
        check(parity, settings)
        threshold = golden_threshold(from_bundle, operating.score_threshold)
        chosen = choose_golden(from_bundle, threshold, settings.golden_images)
        images = [shrink(test.image(i), trained.model.image_height, trained.model.image_width) for i in chosen]
        tolerance = Tolerance(settings.golden_box_tolerance, settings.golden_score_tolerance)
        add_profile(bundle, detector, (test.image(i) for i in range(len(test))))
        add_golden(bundle, detector, images, tolerance, threshold)
        if settings.formats:
            postprocess, plain_map = operating.postprocess(), parity.get("map_bundle")
            parity |= add_formats(bundle, trained.model, postprocess, settings, calibration, test, plain_map)
    log.info(
        "bundle written to %s: %d objects agree, %d golden images prove it", output, parity["pairs"], len(images)
    )
    if not parity["pairs"]:
        log.warning(
            "no object scores %s on the test split: parity compared nothing but the map", settings.parity_score_floor
        )
    return parity


def _answers(
    predictor: Predictor, detector: Detector, split: PreparedSplit
) -> tuple[Sequence[Detections], Sequence[Detections]]:
    """Everything that the model and the bundle find, whatever the score, image by image."""
    from_model: list[Detections] = []
    from_bundle: list[Detections] = []
    for start in range(0, len(split), BATCH_SIZE):
        images = [split.image(i) for i in range(start, min(start + BATCH_SIZE, len(split)))]
        from_model += predictor(images)
        from_bundle += detector.detect(images, score_threshold=0)
    return from_model, from_bundle
