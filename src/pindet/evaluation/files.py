"""The findings as JSON files, of which ``dvc plots`` reads some.

A file for ``dvc plots`` is one list of rows that all have the same keys. Nothing here is NaN or infinite.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pindet.evaluation.comparison import ImageComparison
from pindet.evaluation.curves import RECALLS, Scored, counts_at, interpolated
from pindet.evaluation.findings import Findings

Rows = list[dict[str, Any]]
BACKGROUND = "background"
"""What the confusion matrix pairs objects without a detection, and detections without an object, with."""
_THRESHOLDS = np.linspace(0, 1, 101)
_DECIMALS = 6


def write_files(findings: Findings, undefined: Mapping[str, str], output: Path) -> None:
    """Write every JSON file into the folder ``output``."""
    test = findings.test
    rows = {
        "pr_curve": pr_rows(test.every),
        "pr_curves": [
            {"class": name, **row}
            for name, found in zip(test.classes, test.per_class, strict=True)
            for row in pr_rows(found)
        ],
        "f1_curve": f1_rows(findings.val.every),
        "confusion": confusion_rows(findings),
        "calibration": [asdict(b) for b in findings.bins],
        "classes": class_rows(findings),
        "sizes": [asdict(row) for row in findings.sizes],
        "errors": [asdict(row) for row in findings.errors],
        "intervals": interval_rows(findings),
        "suspects": suspect_rows(findings),
        "undefined": [{"metric": key, "reason": reason} for key, reason in undefined.items()],
    }
    for name, content in rows.items():
        _write(output / f"{name}.json", [_dump(row) for row in content])
    _write_images(findings, output / "per_image.json")


def pr_rows(found: Scored) -> Rows:
    """Interpolated precision at each of COCO's recalls that is reached, with the score that reaches it."""
    precision, score = interpolated(found)
    columns = zip(RECALLS.tolist(), precision.tolist(), score.tolist(), strict=True)
    return [{"recall": r, "precision": p, "score": s} for r, p, s in columns if s > 0]


def f1_rows(found: Scored) -> Rows:
    """F1, precision and recall at score thresholds from 0 to 1; those where a rate is undefined are left out."""
    rows = []
    for threshold in _THRESHOLDS.tolist():
        counts = counts_at(found, threshold)
        if None not in (counts.f1, counts.precision, counts.recall):
            rates = {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
            rows.append({"score_threshold": threshold, **rates})
    return rows


def confusion_rows(findings: Findings) -> Rows:
    """One row for each pair of object and detection, as the template ``confusion`` of ``dvc plots`` counts them."""
    names = [*findings.test.classes, background_name(findings.test.classes)]
    rows: Rows = []
    for (i, j), count in np.ndenumerate(findings.confusion.counts):
        rows += [{"actual": names[i], "predicted": names[j]}] * int(count)
    return rows


def background_name(classes: Sequence[str]) -> str:
    """``background``, in as many parentheses as tell it from every class."""
    name = BACKGROUND
    while name in classes:
        name = f"({name})"
    return name


def class_rows(findings: Findings) -> Rows:
    """One row for each class; a value that is undefined is ``None``."""
    test = findings.test
    columns = zip(test.classes, test.counts_per_class, findings.class_thresholds, strict=True)
    return [
        {
            "class": name,
            "objects": counts.objects,
            "true_positives": counts.true_positives,
            "false_positives": counts.false_positives,
            "false_negatives": counts.false_negatives,
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
            "map": test.coco.get(f"map/{name}"),
            "map_50": test.coco.get(f"map_50/{name}"),
            "best_score_threshold": threshold,
        }
        for name, counts, threshold in columns
    ]


def interval_rows(findings: Findings) -> Rows:
    """``map`` of each class, and of all under the class ``None``, and where 95 of 100 draws of the images put it."""
    return [
        {"class": name or None, "map": estimate.value, "low": estimate.low, "high": estimate.high}
        for name, estimate in findings.intervals.items()
    ]


def suspect_rows(findings: Findings) -> Rows:
    """One row for each label that the model contradicts: which it is, and what the model says."""
    rows: Rows = []
    for suspect in findings.suspects:
        image = findings.split(suspect.split).images[suspect.position]
        truth = suspect.truth
        rows.append(
            {
                "file_name": image.name,
                "split": suspect.split,
                "doubt": str(suspect.doubt),
                "detected": findings.test.classes[image.found.labels[suspect.detection]],
                "labelled": None if truth is None else findings.test.classes[image.labels[truth]],
                "score": suspect.score,
                "detected_box": [round(v, 1) for v in image.found.boxes[suspect.detection].tolist()],
                "labelled_box": None if truth is None else [round(v, 1) for v in image.boxes[truth].tolist()],
            }
        )
    return rows


def _write_images(findings: Findings, path: Path) -> None:
    head = {
        "classes": findings.test.classes,
        "score_threshold": findings.score_threshold,
        "iou_threshold": findings.settings.iou_threshold,
    }
    lines = [_dump(_image_row(image, findings.score_threshold)) for image in findings.test.images]
    text = json.dumps(head, ensure_ascii=False, allow_nan=False)[:-1] + ', "images": [\n' + ",\n".join(lines) + "\n]}\n"
    path.write_text(text, "utf-8", newline="\n")


def _image_row(image: ImageComparison, score_threshold: float) -> dict[str, Any]:
    kept, right = image.found.scores >= score_threshold, image.correct(score_threshold)
    true_positives = int(right.sum())
    objects = zip(image.boxes.tolist(), image.labels.tolist(), strict=True)
    scores = [float(str(score)) for score in image.found.scores]  # the shortest number that is the same float32
    found = zip(image.found.boxes.tolist(), scores, image.found.labels.tolist(), strict=True)
    return {
        "file_name": image.name,
        "objects": len(image.labels),
        "true_positives": true_positives,
        "false_positives": int(kept.sum()) - true_positives,
        "false_negatives": len(image.labels) - true_positives,
        "truths": [[*(round(v, 3) for v in box), label] for box, label in objects],
        "detections": [[*(round(v, 3) for v in box), score, label] for box, score, label in found],
    }


def _write(path: Path, lines: Sequence[str]) -> None:
    text = "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
    path.write_text(text, "utf-8", newline="\n")


def _dump(row: Mapping[str, Any]) -> str:
    rounded = {k: round(v, _DECIMALS) if isinstance(v, float) else v for k, v in row.items()}
    return json.dumps(rounded, ensure_ascii=False, allow_nan=False)
