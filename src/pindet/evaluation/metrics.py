"""COCO average precision and recall (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray
from pindet_serve.detections import Detections

from pindet.data.prepared import PreparedSplit

logger = logging.getLogger(__name__)

SIZES = ("small", "medium", "large")
"""COCO's object sizes: area below 32², from there to 96², and above, in pixels of the image."""
_AREAS = ("all", *SIZES)


def coco_metrics(
    split: PreparedSplit, detections: Sequence[Detections], *, max_detections: int | None = None
) -> dict[str, float]:
    """Average precision and recall of ``detections`` on ``split``.

    Args:
        split: ground truth.
        detections: one per image, in the order of ``split``.
        max_detections: how many of an image's best detections count; by default all that are given.

    Returns:
        ``map`` (mean over IoU 0.50:0.95 and classes), ``map_50``, ``map_75``, ``map_small``, ``map_medium``,
        ``map_large``, ``map/<class>``, ``map_50/<class>``, and recall with 1, 10, 100 (and ``max_detections``, when
        it is given) detections an image: ``mar_1`` and so on; each 0–1. A value without any ground truth to measure
        it on is absent.

    Raises:
        ValueError: the number of detections is not that of the images.
    """
    if len(detections) != len(split):
        raise ValueError(f"{len(detections)} detections for {len(split)} images; allowed is one for each image")
    truth = split.coco()
    if not truth["annotations"]:
        return {}
    limits = recall_limits(max_detections or max([100, *(len(found) for found in detections)]))
    objects, answers = _dataset(truth, truth["annotations"]), _dataset(truth, _results(truth, detections))
    evaluator = COCOeval_faster(objects, answers, iouType="bbox", print_function=logger.debug)
    evaluator.params.maxDets = limits
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])  # [IoU, recall, class, area, limit]; -1 is undefined
    recall = np.asarray(evaluator.eval["recall"])  # [IoU, class, area, limit]
    reported = [n for n in limits if n in (1, 10, 100, max_detections)]
    values = _precisions(precision[..., -1], split.classes)
    values |= {f"mar_{n}": _mean(recall[:, :, 0, limits.index(n)]) for n in reported}
    return {key: value for key, value in values.items() if value is not None}


def recall_limits(max_detections: int) -> list[int]:
    """At how many detections an image recall is measured."""
    return [*(n for n in (1, 10, 100) if n < max_detections), max_detections]


def _precisions(precision: NDArray[np.float64], classes: Sequence[str]) -> dict[str, float | None]:
    values = {"map": _mean(precision[:, :, :, 0]), "map_50": _mean(precision[0, :, :, 0])}
    values["map_75"] = _mean(precision[5, :, :, 0])
    values |= {f"map_{size}": _mean(precision[:, :, :, _AREAS.index(size)]) for size in SIZES}
    values |= {f"map/{name}": _mean(precision[:, :, label, 0]) for label, name in enumerate(classes)}
    return values | {f"map_50/{name}": _mean(precision[0, :, label, 0]) for label, name in enumerate(classes)}


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def _results(truth: dict[str, Any], detections: Sequence[Detections]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for image, found in zip(truth["images"], detections, strict=True):
        corners = found.boxes.astype(np.float64)
        rows = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
        for box, score, label in zip(rows, found.scores.tolist(), found.labels.tolist(), strict=True):
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": image["id"],
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return results


def _dataset(truth: dict[str, Any], annotations: list[dict[str, Any]]) -> COCO:
    # Copied, because the evaluator writes into what it is given.
    copies = [dict(annotation) for annotation in annotations]
    return COCO({"images": truth["images"], "categories": truth["categories"], "annotations": copies})
