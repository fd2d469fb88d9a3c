"""What was prepared, for people and for ``dvc plots``: counts, class balance, rejections and a contact sheet."""

from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pindet.data.contact_sheet import contact_sheet
from pindet.data.prepare import Report
from pindet.data.prepared import PreparedSplit
from pindet.data.records import SPLITS
from pindet.data.workspace import workspace

logger = logging.getLogger(__name__)


def write_report(report: Report, prepared: Path, output: Path) -> None:
    """Write the folder ``output``, replacing one that exists; equal data give equal bytes.

    It holds ``summary.json`` (images, boxes, box sizes in pixels, what was rejected and why, by count),
    ``class_balance.csv``, ``rejections.csv`` (every item with its reason) and ``contact_sheet.jpg``. How many were
    rejected and why is logged, too.

    Args:
        report: what :func:`pindet.data.prepare.prepare` returned.
        prepared: the folder that it wrote.
        output: the folder to write; its parent is made.
    """
    splits = {split: PreparedSplit(prepared, split) for split in SPLITS}
    with workspace(output) as work:
        made = work / "made"
        made.mkdir()
        summary = json.dumps(_summary(report, splits), ensure_ascii=False, indent=1) + "\n"
        (made / "summary.json").write_text(summary, "utf-8", newline="\n")
        _write_csv(made / "class_balance.csv", ("class", "split", "boxes", "images"), _balance(splits))
        rows = sorted((r.item, r.reason.value, r.action, r.detail) for r in report.rejections)
        _write_csv(made / "rejections.csv", ("item", "reason", "action", "detail"), rows)
        (made / "contact_sheet.jpg").write_bytes(contact_sheet(splits))
        if output.exists():
            output.rename(work / "old")
        made.rename(output)
    counts = Counter((r.reason.value, r.action) for r in report.rejections).most_common()
    if counts:
        said = ", ".join(f"{count} {reason} ({action})" for (reason, action), count in counts)
        logger.info("not all was as it should be: %s; each is in %s", said, (output / "rejections.csv").as_posix())


def _summary(report: Report, splits: dict[str, PreparedSplit]) -> dict[str, Any]:
    rejected = Counter((r.reason.value, r.action) for r in report.rejections)
    return {
        "classes": report.classes,
        "splits": {name: _split_summary(split) for name, split in splits.items()},
        "rejected": [{"reason": r, "action": a, "count": n} for (r, a), n in sorted(rejected.items())],
    }


def _split_summary(split: PreparedSplit) -> dict[str, Any]:
    counts = [len(split.boxes(i)) for i in range(len(split))]
    every = np.concatenate([np.zeros((0, 4), np.float32), *(split.boxes(i) for i in range(len(split)))])
    return {
        "images": len(split),
        "images_without_boxes": counts.count(0),
        "boxes": sum(counts),
        "boxes_of_fullest_image": max(counts, default=0),
        "box_width": _spread(every[:, 2] - every[:, 0]),
        "box_height": _spread(every[:, 3] - every[:, 1]),
    }


def _spread(values: NDArray[np.float32]) -> dict[str, float] | None:
    """Least, median and greatest, or None of nothing."""
    if not len(values):
        return None
    marks = np.quantile(values.astype(np.float64), [0, 0.5, 1])
    return {name: round(float(mark), 2) for name, mark in zip(("min", "median", "max"), marks, strict=True)}


def _balance(splits: dict[str, PreparedSplit]) -> Iterable[tuple[str, str, int, int]]:
    for name, split in splits.items():
        boxes: Counter[int] = Counter()
        images: Counter[int] = Counter()
        for i in range(len(split)):
            labels = split.labels(i).tolist()
            boxes.update(labels)
            images.update(set(labels))
        yield from ((label, name, boxes[i], images[i]) for i, label in enumerate(split.classes))


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
