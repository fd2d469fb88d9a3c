"""Reads history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, func, select

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

    def statistics(
        self, span: Span, step_ms: int, *, label: str | None = None, model_md5: str | None = None
    ) -> dict[str, Any]:
        """Totals, by class, by model, and over time in steps of ``step_ms`` from the epoch on.

        Args:
            span: the time.
            step_ms: length of a step.
            label: only images with this class, and of their objects only those of it.
            model_md5: only images that this bundle answered.
        """
        classes, images = detected_classes.c, detections.c
        source: FromClause = detections
        objects: ColumnElement[int] = images.objects
        only = [*_within(images.at_ms, span)]
        if label is not None:
            source = detections.join(detected_classes, classes.detection_id == images.id)
            objects = classes.objects
            only += [classes.label == label, *_within(classes.at_ms, span)]
        if model_md5 is not None:
            only.append(images.model_md5 == model_md5)

        def counts(*columns: ColumnElement[Any]) -> Select[Any]:
            return _counts(objects, *columns).select_from(source).where(*only)

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
        if label is not None:
            by_class = by_class.where(classes.label == label)
        if model_md5 is not None:
            by_class = by_class.join(detections, classes.detection_id == images.id).where(images.model_md5 == model_md5)
        by_model = counts(images.model_version, images.model_md5).group_by(images.model_version, images.model_md5)
        start = (images.at_ms - images.at_ms % step_ms).label("start_ms")
        (total,) = self._rows(counts())
        return {
            **total,
            "classes": self._rows(by_class),
            "models": self._rows(by_model.order_by(func.max(images.at_ms).desc())),
            "series": self._rows(counts(start).group_by(start).order_by(start)),
        }

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._database.begin() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def _counts(objects: ColumnElement[int], *columns: ColumnElement[Any]) -> Select[Any]:
    return select(
        *columns,
        func.count().label("images"),
        func.coalesce(func.sum(objects), 0).label("objects"),
        func.avg(detections.c.elapsed_ms).label("mean_elapsed_ms"),
    )


def _within(column: ColumnElement[int], span: Span) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return column >= span.since_ms, column < span.until_ms
