"""Does the bundle answer as the trained model does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pindet_serve.detections import Detections
from torchvision.ops import box_iou

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.metrics import coco_metrics
from pindet.export.settings import ExportSettings

Parity = dict[str, float]
"""What :func:`compare` measured, flat; undefined values are absent."""

PAIR_IOU = 0.5
"""Two objects that overlap by less are no pair."""


class ParityError(ValueError):
    """The bundle answers otherwise than the trained model; the message says by how much."""


@dataclass(frozen=True)
class _Pairs:
    """The pairs of one image: IoU ``[P]`` and score difference ``[P]``; how many objects of either side have none."""

    ious: NDArray[np.float64]
    score_differences: NDArray[np.float64]
    unmatched: int


def compare(
    split: PreparedSplit, trained: Sequence[Detections], bundle: Sequence[Detections], settings: ExportSettings
) -> Parity:
    """Compare the answers of the trained model and of the bundle on every image of a split.

    Objects are paired one to one, of the same class, the largest IoU first. Only objects count of which at least one
    side scores ``settings.parity_score_floor``.

    Returns:
        ``images``; ``objects_trained``, ``objects_bundle``: those that count; ``pairs``; ``pairs_apart``: with an IoU
        or a score difference beyond the settings; ``unmatched``: objects without a pair; ``iou_min``, ``iou_mean``,
        ``score_difference_max`` over the pairs; ``map_trained``, ``map_bundle``, ``map_difference``.
    """
    floor = settings.parity_score_floor
    found = [_pairs(one, other, floor) for one, other in zip(trained, bundle, strict=True)]
    ious = np.concatenate([pairs.ious for pairs in found])
    differences = np.concatenate([pairs.score_differences for pairs in found])
    apart = (ious < settings.parity_min_iou) | (differences > settings.parity_max_score_difference)
    parity: Parity = {
        "images": len(split),
        "objects_trained": sum(int((one.scores >= floor).sum()) for one in trained),
        "objects_bundle": sum(int((other.scores >= floor).sum()) for other in bundle),
        "pairs": len(ious),
        "pairs_apart": int(apart.sum()),
        "unmatched": sum(pairs.unmatched for pairs in found),
    }
    if len(ious):
        parity["iou_min"], parity["iou_mean"] = round(float(ious.min()), 4), round(float(ious.mean()), 4)
        parity["score_difference_max"] = round(float(differences.max()), 4)
    return parity | _maps(split, trained, bundle)


def check(parity: Parity, settings: ExportSettings) -> None:
    """Hold what was measured against the settings.

    Raises:
        ParityError: too many objects without a counterpart, or maps that differ.
    """
    objects = parity["objects_trained"] + parity["objects_bundle"]
    astray = 2 * parity["pairs_apart"] + parity["unmatched"]
    reasons = []
    if astray > settings.parity_max_unmatched_fraction * objects:
        reasons.append(
            f"{astray} of {objects} objects have no counterpart with IoU >= {settings.parity_min_iou} and a score "
            f"within {settings.parity_max_score_difference} (allowed share: {settings.parity_max_unmatched_fraction}; "
            f"least IoU of a pair: {parity.get('iou_min')}, unmatched: {parity['unmatched']})"
        )
    difference = parity.get("map_difference", 0.0)
    if difference > settings.parity_max_map_difference:
        reasons.append(
            f"test map is {parity['map_bundle']} with the bundle and {parity['map_trained']} with the trained model "
            f"(allowed difference: {settings.parity_max_map_difference})"
        )
    if reasons:
        raise ParityError(
            "the bundle does not answer as the trained model does: " + "; ".join(reasons) + ". No bundle was written; "
            "look for an operator of the model that exports differently, or raise the export.parity_* limits"
        )


def _maps(split: PreparedSplit, trained: Sequence[Detections], bundle: Sequence[Detections]) -> Parity:
    one, other = coco_metrics(split, trained).get("map"), coco_metrics(split, bundle).get("map")
    if one is None or other is None:
        return {}
    return {
        "map_trained": round(one, 5),
        "map_bundle": round(other, 5),
        "map_difference": round(abs(one - other), 5),
    }


def _pairs(trained: Detections, bundle: Detections, floor: float) -> _Pairs:
    overlaps = box_iou(torch.from_numpy(trained.boxes), torch.from_numpy(bundle.boxes)).numpy().astype(np.float64)
    overlaps[trained.labels[:, None] != bundle.labels[None, :]] = 0
    rows, columns = np.nonzero(overlaps >= PAIR_IOU)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in partner and column not in taken:
            partner[row] = column
            taken.add(column)
    pairs = [(i, j) for i, j in partner.items() if max(trained.scores[i], bundle.scores[j]) >= floor]
    lone_trained = [i for i in np.flatnonzero(trained.scores >= floor).tolist() if i not in partner]
    lone_bundle = [j for j in np.flatnonzero(bundle.scores >= floor).tolist() if j not in taken]
    return _Pairs(
        np.array([overlaps[i, j] for i, j in pairs], np.float64),
        np.array([abs(float(trained.scores[i]) - float(bundle.scores[j])) for i, j in pairs], np.float64),
        len(lone_trained) + len(lone_bundle),
    )
