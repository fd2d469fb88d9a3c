"""What is written down of one image that was answered."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, String, Table, insert

from pindet_serve.history.audit import AuditEntry
from pindet_serve.history.tables import audit, detected_classes, detections


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecord:
    """One image and what was found in it.

    Attributes:
        request_id: of the request it came with.
        actor: who asked.
        model_version: of the model that answered.
        model_md5: of its bundle.
        image_width: pixels of the displayed image.
        image_height: pixels of the displayed image.
        elapsed_ms: from decoding to the answer.
        objects: what was found, as in the answer: ``{label, label_id, score, box: {x1, y1, x2, y2}}``.
        image_name: file name that came with it.
        at_ms: when, milliseconds since 1970.
    """

    request_id: str
    actor: str
    model_version: str
    model_md5: str
    image_width: int
    image_height: int
    elapsed_ms: float
    objects: Sequence[Mapping[str, Any]]
    image_name: str | None = None
    at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


Record = DetectionRecord | AuditEntry


def write(connection: Connection, records: Sequence[Record], source: str) -> None:
    """Insert records in their order, as written by the process ``source``."""
    images = [record for record in records if isinstance(record, DetectionRecord)]
    deeds = [record for record in records if isinstance(record, AuditEntry)]
    if images:
        rows = [_detection(record, source) for record in images]
        query = insert(detections).returning(detections.c.id, sort_by_parameter_order=True)
        numbers = connection.execute(query, rows).scalars().all()
        classes = [row for number, record in zip(numbers, images, strict=True) for row in _classes(number, record)]
        if classes:
            connection.execute(insert(detected_classes), classes)
    if deeds:
        connection.execute(insert(audit), [_deed(record) for record in deeds])


def _detection(record: DetectionRecord, source: str) -> dict[str, Any]:
    return _fitted(detections, {
        "at_ms": record.at_ms, "request_id": record.request_id, "source": source, "actor": record.actor,
        "model_version": record.model_version, "model_md5": record.model_md5, "image_name": record.image_name,
        "image_width": record.image_width, "image_height": record.image_height, "objects": len(record.objects),
        "elapsed_ms": record.elapsed_ms, "detections": [dict(found) for found in record.objects],
    })  # fmt: skip


def _classes(number: int, record: DetectionRecord) -> list[dict[str, Any]]:
    scores: dict[str, list[float]] = {}
    for found in record.objects:
        scores.setdefault(str(found["label"]), []).append(float(found["score"]))
    return [
        _fitted(detected_classes, {
            "detection_id": number, "label": label, "at_ms": record.at_ms, "objects": len(of_label),
            "score_sum": sum(of_label),
        })
        for label, of_label in scores.items()
    ]  # fmt: skip


def _deed(entry: AuditEntry) -> dict[str, Any]:
    return _fitted(audit, {
        "at_ms": entry.at_ms, "actor": entry.actor, "action": entry.action, "target": entry.target,
        "outcome": entry.outcome, "address": entry.address, "details": dict(entry.details),
    })  # fmt: skip


def _fitted(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """Cut what comes from clients to what the columns take; PostgreSQL also takes no NUL in text."""
    for name, value in values.items():
        kind = table.c[name].type
        if isinstance(value, str) and isinstance(kind, String):
            values[name] = value.replace("\0", "\N{REPLACEMENT CHARACTER}")[: kind.length]
    return values
