"""The findings as flat metrics, and for each one that is undefined the reason."""

from __future__ import annotations

from pindet.evaluation.calibration import expected_calibration_error
from pindet.evaluation.findings import SIZE_LIMITS, Findings, SplitFindings
from pindet.evaluation.metrics import SIZES, recall_limits

_DECIMALS = 6
_OPERATING = ("precision", "recall", "f1")
_OF_VAL = [f"val/{key}" for key in ("map", "map_50", *_OPERATING)]


def flat_metrics(findings: Findings) -> dict[str, float]:
    """``test/map``, ``test/map_50/<class>``, ``test/f1`` and so on, and a few of ``val``; the undefined are absent.

    ``precision``, ``recall`` and ``f1`` are those at the operating point; ``test/ece`` is the calibration error.
    """
    values: dict[str, float | None] = {}
    for prefix, split in _prefixed(findings):
        values |= {f"{prefix}/{key}": value for key, value in split.coco.items()}
        values |= {f"{prefix}/{rate}": getattr(split.counts, rate) for rate in _OPERATING}
        for name, counts in zip(split.classes, split.counts_per_class, strict=True):
            values |= {f"{prefix}/{rate}/{name}": getattr(counts, rate) for rate in _OPERATING}
    values["test/ece"] = expected_calibration_error(findings.bins)
    return {k: round(v, _DECIMALS) for k, v in sorted(values.items()) if v is not None and _is_reported(k)}


def undefined(findings: Findings) -> dict[str, str]:
    """Why each metric that could be there is absent; an English sentence each."""
    metrics = flat_metrics(findings)
    reasons: dict[str, str] = {}
    for prefix, split in _prefixed(findings):
        texts = _reasons(split, findings.settings.max_detections)
        reasons |= {f"{prefix}/{key}": text for key, text in texts.items()}
    reasons = {key: text for key, text in reasons.items() if key not in metrics and _is_reported(key)}
    if findings.is_fallback:
        reasons["score_threshold"] = (
            f"No threshold finds any object of the {findings.val.split} images; "
            f"{findings.score_threshold} is the fallback of the settings."
        )
    return dict(sorted(reasons.items()))


def _prefixed(findings: Findings) -> list[tuple[str, SplitFindings]]:
    return [("test", findings.test), ("val", findings.val)]


def _is_reported(key: str) -> bool:
    return key.startswith("test/") or key in _OF_VAL


def _reasons(split: SplitFindings, max_detections: int) -> dict[str, str]:
    nothing = f"The {split.split} images show no object." if split.images else f"There is no {split.split} image."
    reasons: dict[str, str] = dict.fromkeys(("map", "map_50", "map_75", "recall"), nothing)
    reasons |= {f"mar_{number}": nothing for number in recall_limits(max_detections)}
    for size in SIZES:
        low, high = SIZE_LIMITS[size]
        limits = f"an area from {low} to below {high}" if size != "large" else f"an area of {low} or more"
        reasons[f"map_{size}"] = f"No object of the {split.split} images has {limits} square pixels."
    reasons["ece"] = f"There is no detection on the {split.split} images."
    reasons["precision"] = f"No detection on the {split.split} images reaches the operating point."
    reasons["f1"] = f"The {split.split} images have neither objects nor detections at the operating point."
    for name in split.classes:
        shown = f"The {split.split} images show no object of class {name}."
        reasons |= {f"{key}/{name}": shown for key in ("map", "map_50", "recall")}
        reasons[f"precision/{name}"] = f"No detection of class {name} reaches the operating point."
        reasons[f"f1/{name}"] = f"Class {name} has neither objects nor detections at the operating point."
    return reasons if split.images else dict.fromkeys(reasons, nothing)
