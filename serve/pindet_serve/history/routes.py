"""History over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import answers, problems
from pindet_serve.auth.require import require
from pindet_serve.history.archive import Archive, Span
from pindet_serve.history.away import needing_database
from pindet_serve.history.schemas import DeedPage, ImagePage, Statistics

router = APIRouter(tags=["history"])
T = TypeVar("T")
_PROBLEMS = problems(401, 403, 422, 500, 503)
_DAY_MS = 24 * 3600 * 1000
_MOST_STEPS = 10_000
_LARGEST = 2**53

Since = Annotated[int | None, Query(ge=0, le=_LARGEST, description="ms since 1970; a day before until_ms if absent")]
Until = Annotated[int | None, Query(ge=1, le=_LARGEST, description="ms since 1970; now if absent")]
Limit = Annotated[int, Query(ge=1, le=500, description="most entries of the page")]
Label = Annotated[str | None, Query(max_length=255, description="only images with this class")]
Answering = Annotated[str | None, Query(max_length=64, description="only images answered by this bundle")]
Before = Annotated[int | None, Query(ge=1, le=_LARGEST, description="only entries with a smaller id")]


async def _span(since_ms: Since = None, until_ms: Until = None) -> Span:
    until = time.time_ns() // 1_000_000 + 1 if until_ms is None else until_ms
    try:
        return Span(max(0, until - _DAY_MS) if since_ms is None else since_ms, until)
    except ValueError as error:
        raise Problem(422, "Invalid parameters", str(error)) from error


async def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.history.archive
    return archive


Within = Annotated[Span, Depends(_span)]
Stored = Annotated[Archive, Depends(_archive)]


@router.get(
    "/v1/detections", dependencies=[Depends(require("viewer"))], responses=answers(200, "A page of images") | _PROBLEMS
)
async def list_detections(
    span: Within,
    archive: Stored,
    limit: Limit = 100,
    before_id: Before = None,
    label: Label = None,
    request_id: Annotated[str | None, Query(max_length=64, description="only images of this request")] = None,
    model_md5: Answering = None,
) -> ImagePage:
    """What was detected, newest first."""
    only = {"label": label, "request_id": request_id, "model_md5": model_md5}
    rows = await _read(archive.detections, span, limit=limit, before_id=before_id, **only)
    return ImagePage.model_validate({"images": rows} | _next(rows, limit))


@router.get(
    "/v1/statistics", dependencies=[Depends(require("viewer"))], responses=answers(200, "Aggregates") | _PROBLEMS
)
async def statistics(
    span: Within,
    archive: Stored,
    step_ms: Annotated[int, Query(ge=1000, le=366 * _DAY_MS, description="length of a step of the series")] = 3_600_000,
    label: Label = None,
    model_md5: Answering = None,
) -> Statistics:
    """Totals, by class, by model, and over time; of a class only its own objects count."""
    steps = (span.until_ms - span.since_ms) / step_ms
    if steps > _MOST_STEPS:
        raise Problem(
            422, "Invalid parameters", f"the series would have {steps:.0f} steps; at most {_MOST_STEPS} are allowed"
        )
    return Statistics.model_validate(await _read(archive.statistics, span, step_ms, label=label, model_md5=model_md5))


@router.get(
    "/v1/audit", dependencies=[Depends(require("admin"))], responses=answers(200, "A page of deeds") | _PROBLEMS
)
async def list_deeds(span: Within, archive: Stored, limit: Limit = 100, before_id: Before = None) -> DeedPage:
    """Who did what, newest first."""
    rows = await _read(archive.audit, span, limit=limit, before_id=before_id)
    return DeedPage.model_validate({"deeds": rows} | _next(rows, limit))


def _next(rows: list[dict[str, Any]], limit: int) -> dict[str, int | None]:
    return {"next_before_id": rows[-1]["id"] if len(rows) == limit else None}


async def _read(call: Callable[..., T], *arguments: Any, **named: Any) -> T:
    with needing_database("history can not be read"):
        return await asyncio.to_thread(call, *arguments, **named)
