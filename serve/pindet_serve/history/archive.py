"""Reads history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from pindet_serve.history.database import Database
from pindet_serve.history.tables import audit, detected_classes, detections


@dataclass(frozen=True)
class Span:
    """A time span, milliseconds since 1970, from the first to before the last."""

    since_ms: int
    until_ms: int

    def __post_init__(self) -> None:
        if self.since_ms >= self.until_ms:
            raise ValueError(f"since_ms is {self.since_ms} and until_ms {self.until_ms}; since must be before until")


class Archive:
    """Answers questions about what was recorded. Each method is one transaction, and waits for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def detections(
        self,
        span: Span,
        *,
        limit: int,
        before_id: int | None = None,
        label: str | None = None,
        request_id: str | None = None,
        model_md5: str | None = None,
    ) -> list[dict[str, Any]]:
        """Images, newest first; the next page is what comes before the last one's ``id``."""
        query = select(detections).where(*_within(detections.c.at_ms, span))
        if before_id is not None:
            query = query.where(detections.c.id < before_id)
        if request_id is not None:
            query = query.where(detections.c.request_id == request_id)
        if model_md5 is not None:
            query = query.where(detections.c.model_md5 == model_md5)
        if label is not None:
            having = select(detected_classes.c.detection_id).where(detected_classes.c.label == label)
            query = query.where(detections.c.id.in_(having.where(*_within(detected_classes.c.at_ms, span))))
        return self._rows(query.order_by(detections.c.id.desc()).limit(limit))

    def audit(self, span: Span, *, limit: int, before_id: int | None = None) -> list[dict[str, Any]]:
        """Deeds, newest first."""
        query = select(audit).where(*_within(audit.c.at_ms, span))
        if before_id is not None:
            query = query.where(audit.c.id < before_id)
        return self._rows(query.order_by(audit.c.id.desc()).limit(limit))

    def statistics(self, span: Span, step_ms: int) -> dict[str, Any]:
        """Totals, by class, by model, and over time in steps of ``step_ms`` from the epoch on."""
        classes = detected_classes.c
        by_class = (
            select(
                classes.label,
                func.sum(classes.objects).label("objects"),
                func.count().label("images"),
                (func.sum(classes.score_sum) / func.sum(classes.objects)).label("mean_score"),
            )
            .where(*_within(classes.at_ms, span))
            .group_by(classes.label)
            .order_by(func.sum(classes.objects).desc(), classes.label)
        )
        columns = detections.c
        by_model = (
            _counts(columns.model_version, columns.model_md5)
            .where(*_within(columns.at_ms, span))
            .group_by(columns.model_version, columns.model_md5)
            .order_by(func.max(columns.at_ms).desc())
        )
        start = (columns.at_ms - columns.at_ms % step_ms).label("start_ms")
        over_time = _counts(start).where(*_within(columns.at_ms, span)).group_by(start).order_by(start)
        (total,) = self._rows(_counts().where(*_within(columns.at_ms, span)))
        return {
            **total,
            "classes": self._rows(by_class),
            "models": self._rows(by_model),
            "series": self._rows(over_time),
        }

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._database.begin() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def _counts(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(
        *columns,
        func.count().label("images"),
        func.coalesce(func.sum(detections.c.objects), 0).label("objects"),
        func.avg(detections.c.elapsed_ms).label("mean_elapsed_ms"),
    )


def _within(column: ColumnElement[int], span: Span) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return column >= span.since_ms, column < span.until_ms
