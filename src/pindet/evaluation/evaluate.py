"""Judge a model: operating point from validation, everything else from test, one folder of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pindet.data.prepared import PreparedSplit
from pindet.data.workspace import workspace
from pindet.evaluation.crops import crop
from pindet.evaluation.files import write_files
from pindet.evaluation.findings import Findings, find
from pindet.evaluation.flat import flat_metrics, undefined
from pindet.evaluation.gallery import draw, worst
from pindet.evaluation.predictions import Predict, predict_split
from pindet.evaluation.report import render
from pindet.evaluation.settings import EvaluationSettings


@dataclass(frozen=True)
class Evaluation:
    """The result of :func:`evaluate`.

    Attributes:
        metrics: flat, such as ``test/map`` and ``test/f1``; without what is undefined.
        undefined: why each other metric is absent.
        operating_point: ``score_threshold``, ``nms_iou_threshold`` and ``max_detections``.
    """

    metrics: dict[str, float]
    undefined: dict[str, str]
    operating_point: dict[str, float | int]


def evaluate(
    predict: Predict, val: PreparedSplit, test: PreparedSplit, settings: EvaluationSettings, output: Path
) -> Evaluation:
    """Judge ``predict`` and write the folder ``output``; equal answers give equal bytes.

    Args:
        predict: images uint8 ``[H, W, 3]`` RGB, each of its own size, to detections in pixels of each. It applies
            ``settings.nms_iou_threshold`` and ``settings.max_detections`` itself and no score threshold.
        val: chooses the operating point, the score threshold with the best F1 over all detections.
        test: is measured.
        output: a new folder, or an empty one.

    Raises:
        FileExistsError: ``output`` holds something.
        ValueError: the classes of the splits differ, or an answer of ``predict`` is none.
    """
    if val.classes != test.classes:
        raise ValueError(f"val has the classes {val.classes}, test {test.classes}; they must agree: prepare again")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} is not empty; a new or empty folder is allowed; remove it or choose another")
    limits = {"batch_size": settings.batch_size, "max_detections": settings.max_detections}
    on_val, on_test = (predict_split(predict, split, **limits) for split in (val, test))
    findings = find((val, on_val), (test, on_test), settings)
    _write(findings, {"val": val, "test": test}, output)
    return Evaluation(
        metrics=flat_metrics(findings),
        undefined=undefined(findings),
        operating_point={
            "score_threshold": findings.score_threshold,
            "nms_iou_threshold": settings.nms_iou_threshold,
            "max_detections": settings.max_detections,
        },
    )


def _write(findings: Findings, splits: Mapping[str, PreparedSplit], output: Path) -> None:
    test = splits["test"]
    with workspace(output) as work:
        result = work / "result"
        gallery = result / "gallery"
        result.mkdir()
        pictures = {}
        for i in worst(findings.test.images, findings.score_threshold, findings.settings.gallery_images):
            image = findings.test.images[i]
            pictures[i] = draw(test.image(i), image, test.classes, findings.score_threshold)
            gallery.mkdir(exist_ok=True)
            (gallery / f"{len(pictures):03d}.jpg").write_bytes(pictures[i])
        crops = [
            crop(splits[s.split].image(s.position), findings.split(s.split).images[s.position], s)
            for s in findings.suspects[: findings.settings.gallery_images]
        ]
        reasons = undefined(findings)
        write_files(findings, reasons, result)
        (result / "report.html").write_text(render(findings, reasons, pictures, crops), "utf-8", newline="\n")
        result.rename(output)  # over an empty folder, too
