"""The findings as one HTML page that needs no network: style, charts and pictures are inside."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pindet.evaluation.bootstrap import ALL
from pindet.evaluation.calibration import expected_calibration_error
from pindet.evaluation.charts import Series, color, lines, reliability_chart
from pindet.evaluation.comparison import ImageComparison, Kind
from pindet.evaluation.crops import DETECTED, LABELLED
from pindet.evaluation.errors import MISSED
from pindet.evaluation.files import background_name, class_rows, f1_rows, pr_rows, suspect_rows
from pindet.evaluation.findings import Findings, SplitFindings
from pindet.evaluation.gallery import COLORS, WORDS, Mistake, ink, mistakes, unwritten
from pindet.evaluation.sentences import certainty, counted, few_images, lead, matrix_sentences, rests_on
from pindet.evaluation.suspects import Doubt

_MOST_CURVES, _MOST_MATRIX, _MOST_PAIRS, _MOST_MISTAKES = 10, 25, 8, 12
_EXPLAINED = {
    Kind.CLASSIFICATION: ("类别错误", "The place is right, the class is not."),
    Kind.LOCALISATION: ("定位不准", "The class is right, the box fits badly."),
    Kind.BOTH: ("类别与定位均错", "Wrong class, and the box fits badly."),
    Kind.DUPLICATE: ("重复检测", "A second detection of an object that is already found."),
    Kind.BACKGROUND: ("误检背景", "A detection where there is no object."),
    MISSED: ("漏检", "The object is not found, not even with a wrong class or a badly placed box."),
}


def render(
    findings: Findings, undefined: Mapping[str, str], pictures: Mapping[int, bytes], crops: Sequence[bytes]
) -> str:
    """The page; ``pictures`` are JPEGs of test images by position, worst first, ``crops`` of the first suspects."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pindet.evaluation", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"rate": _rate, "gain": _gain, "percent": _percent}
    return environment.get_template("report.html.jinja").render(_context(findings, undefined, pictures, crops)) + "\n"


def _context(
    findings: Findings, undefined: Mapping[str, str], pictures: Mapping[int, bytes], crops: Sequence[bytes]
) -> dict[str, Any]:
    test = findings.test
    return {
        "lead": lead(findings),
        "cards": _cards(findings),
        "certainty": certainty(findings),
        "few_images": few_images(findings),
        "is_fallback": findings.is_fallback,
        "no_test": not test.images,
        "nothing_seen": not (test.images or findings.val.images),
        "threshold": f"{findings.score_threshold:g}",
        "iou_threshold": f"{findings.settings.iou_threshold:g}",
        "max_detections": findings.settings.max_detections,
        "classes": [row | {"interval": _interval(findings, row["class"])} for row in class_rows(findings)],
        "interval": _interval(findings, ALL),
        "total": test.counts,
        "map": test.coco.get("map"),
        "map_50": test.coco.get("map_50"),
        "pr": _pr(test),
        "f1": _f1(findings),
        "calibration": _calibration(findings),
        "sizes": [
            {**asdict(row), "recall": _share(row.found, row.objects), "map": test.coco.get(f"map_{row.size}")}
            for row in findings.sizes
        ],
        "errors": _errors(findings),
        "matrix": _matrix(findings),
        "kinds": [{"color": COLORS[kind], "name": word} for kind, word in WORDS.items()],
        "gallery": [_figure(findings, i, picture) for i, picture in pictures.items()],
        "no_gallery": _no_gallery(findings),
        "suspects": _suspects(findings, crops),
        "suspects_left": len(findings.suspects) - len(crops),
        "suspect_colors": {"detected": DETECTED, "labelled": LABELLED},
        "data": _data(findings),
        "undefined": _by_reason(undefined),
    }


def _cards(findings: Findings) -> list[dict[str, str]]:
    counts, coco = findings.test.counts, findings.test.coco
    at = f"at a score threshold of {findings.score_threshold:g}"
    interval = _interval(findings, ALL)
    sure = f" With other test images of the same kind probably {interval}." if interval else ""
    usual = f"The usual single figure: finding, naming and placing together.{sure}"
    cards = [
        ("mAP 50–95", "平均精度", coco.get("map"), usual),
        ("mAP 50", "平均精度@0.5", coco.get("map_50"), "The same where a roughly right box is enough."),
        ("Recall", "召回率", counts.recall, f"Share of the objects that are found, {at}."),
        ("Precision", "精确率", counts.precision, f"Share of the detections that are right, {at}."),
        ("F1", "", counts.f1, f"Both in one, {at}."),
    ]
    return [{"name": n, "gloss": gloss, "value": _rate(value), "text": text} for n, gloss, value, text in cards]


def _interval(findings: Findings, key: str) -> str:
    estimate = findings.intervals.get(key)
    return f"{estimate.low:.3f}–{estimate.high:.3f}" if estimate else ""


def _pr(test: SplitFindings) -> dict[str, Any]:
    order = sorted(range(len(test.classes)), key=lambda i: (-test.per_class[i].objects, i))
    shown = sorted(order[:_MOST_CURVES])
    named = [(test.classes[i], pr_rows(test.per_class[i]), color(k)) for k, i in enumerate(shown)]
    series = [Series(name, [(r["recall"], r["precision"]) for r in rows], c) for name, rows, c in named if rows]
    if not series:
        return {"chart": None}
    if len(test.classes) > 1:
        points = [(r["recall"], r["precision"]) for r in pr_rows(test.every)]
        series.append(Series("all classes together", points, "var(--ink)", strong=True))
    chart = lines(series, title="Precision over recall", x_label="recall", y_label="precision")
    return {"chart": Markup(chart), "legend": series, "left_out": len(order) - len(shown)}


def _f1(findings: Findings) -> dict[str, Any]:
    rows = f1_rows(findings.val.every)
    if not rows:
        return {"chart": None}
    series = [
        Series(name, [(row["score_threshold"], row[key]) for row in rows], tone, strong=key == "f1")
        for key, name, tone in (
            ("precision", "precision", color(1)),
            ("recall", "recall", color(2)),
            ("f1", "F1", color(0)),
        )
    ]
    chart = lines(
        series,
        title="F1, precision and recall over the score threshold, on the validation images",
        x_label="score threshold",
        y_label="rate on the validation images",
        marked_x=findings.score_threshold,
        mark=f"chosen: {findings.score_threshold:g}",
    )
    return {"chart": Markup(chart), "legend": series}


def _calibration(findings: Findings) -> dict[str, Any]:
    if not findings.bins:
        return {"chart": None}
    chart = reliability_chart(
        findings.bins, title="Precision over score", x_label="score", y_label="precision of these detections"
    )
    return {"chart": Markup(chart), "ece": expected_calibration_error(findings.bins), "on": rests_on(findings)}


def _errors(findings: Findings) -> list[dict[str, Any]]:
    total = sum(row.count for row in findings.errors)
    rows = []
    for row in findings.errors:
        gloss, text = _EXPLAINED[row.kind]
        looks = {"color": COLORS[row.kind], "word": WORDS[row.kind], "gloss": gloss, "text": text}
        rows.append({**asdict(row), **looks, "share": _share(row.count, total)})
    return rows


def _matrix(findings: Findings) -> dict[str, Any]:
    counts, classes = findings.confusion.counts, findings.test.classes
    last, sums = len(classes), counts.sum(axis=1)
    rows = []
    for i, name in enumerate([*classes, None]):
        cells = [
            {
                "count": None if i == j == last else int(count),
                "share": round(75 * int(count) / int(sums[i])) if count else 0,
                "diagonal": i == j,
            }
            for j, count in enumerate(counts[i])
        ]
        rows.append({"name": name, "cells": cells})
    wrong = [(-int(n), i, j) for (i, j), n in np.ndenumerate(counts[:last, :last]) if i != j and n]
    pairs = [{"actual": classes[i], "predicted": classes[j], "count": -n} for n, i, j in sorted(wrong)[:_MOST_PAIRS]]
    return {
        "names": classes,
        "lone": background_name(classes),
        "rows": rows if last <= _MOST_MATRIX and findings.test.images else [],
        "sentences": matrix_sentences(findings.confusion) if findings.test.images else [],
        "mixed_up": pairs,
    }


def _figure(findings: Findings, position: int, picture: bytes) -> dict[str, Any]:
    image = findings.test.images[position]
    listed = mistakes(image, findings.score_threshold)
    found = int(image.objects_found(findings.score_threshold).sum())
    return {
        "name": image.name,
        "image": _inline(picture),
        "summary": f"{found} of {counted(len(image.labels), 'object', 'objects')} found",
        "mistakes": [
            {
                "number": m.number,
                "color": COLORS[m.kind],
                "ink": ink(m.kind),
                "text": _describe(m, image, findings.test.classes),
            }
            for m in listed[:_MOST_MISTAKES]
        ],
        "unwritten": unwritten(image, findings.test.classes, findings.score_threshold),
        "more": len(listed) - len(listed[:_MOST_MISTAKES]),
    }


def _suspects(findings: Findings, crops: Sequence[bytes]) -> list[dict[str, Any]]:
    shown = []
    for row, picture in zip(suspect_rows(findings), crops, strict=False):
        text = {
            Doubt.MISSING: f"no label, but {row['detected']} is seen",
            Doubt.CLASS: f"labelled {row['labelled']}, seen as {row['detected']}",
            Doubt.PLACE: f"{row['labelled']}: another box is seen",
        }[Doubt(row["doubt"])]
        shown.append({**row, "image": _inline(picture), "text": text})
    return shown


def _inline(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _describe(mistake: Mistake, image: ImageComparison, classes: Sequence[str]) -> str:
    truth = "" if mistake.truth is None else classes[image.labels[mistake.truth]]
    if mistake.detection is None:
        return f"{truth}: missed"
    i = mistake.detection
    said, score = classes[image.found.labels[i]], f"score {image.found.scores[i]:.2f}"
    overlap = f"overlap {image.ious[i]:.2f}"
    return {
        Kind.CLASSIFICATION: f"{truth} taken for {said} ({score})",
        Kind.LOCALISATION: f"{said}: badly placed ({overlap}, {score})",
        Kind.BOTH: f"{said}: badly placed on {truth} ({overlap}, {score})",
        Kind.DUPLICATE: f"{said}: found twice ({score})",
        Kind.BACKGROUND: f"{said}: nothing there ({score})",
    }[Kind(mistake.kind)]


def _no_gallery(findings: Findings) -> str:
    if not findings.settings.gallery_images:
        return "The settings ask for none."
    return "None: no test image shows a mistake." if findings.test.images else "None: there is no test image."


def _data(findings: Findings) -> dict[str, Any]:
    splits = (findings.val, findings.test)
    rows = [
        {"name": "images", "counts": [len(s.images) for s in splits]},
        {"name": "images without objects", "counts": [s.empty_images for s in splits]},
        {"name": "objects", "counts": [s.counts.objects for s in splits]},
    ]
    for label, name in enumerate(findings.test.classes):
        rows.append({"name": f"objects: {name}", "counts": [s.per_class[label].objects for s in splits]})
    return {"splits": ["validation", "test"], "rows": rows}


def _by_reason(undefined: Mapping[str, str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for key, reason in undefined.items():
        keys.setdefault(reason, []).append(key)
    return keys


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _gain(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"
