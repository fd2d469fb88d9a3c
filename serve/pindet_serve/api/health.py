"""``/health`` and ``/metrics``: open to everyone, without secrets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from pindet_serve.api.metrics import CONTENT_TYPE, Metrics
from pindet_serve.api.schemas import HEADERS, Check, HealthAnswer, answers
from pindet_serve.serving.service import Service

router = APIRouter(tags=["health"])


@router.get("/health", responses=answers(200, "How it is"))
async def health(request: Request) -> HealthAnswer:
    """How the server is; always 200 while it can say so."""
    return _health(request)


@router.get("/health/live", responses=answers(200, "It runs"))
async def live() -> dict[str, str]:
    """Whether the process runs."""
    return {"status": "ok"}


@router.get(
    "/health/ready",
    responses=answers(200, "Ready") | {503: {"description": "Not ready", "model": HealthAnswer, "headers": HEADERS}},
)
async def ready(request: Request, response: Response) -> HealthAnswer:
    """Whether requests should be sent here: warm, the inference thread alive, room in the queue."""
    answer = _health(request)
    if answer.status == "unready":
        response.status_code = 503
    return answer


@router.get("/metrics", response_class=Response, responses=answers(200, "Prometheus' text format", "text/plain"))
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    figures: Metrics = request.app.state.metrics
    return Response(figures.text(), media_type=CONTENT_TYPE)


def _health(request: Request) -> HealthAnswer:
    state = request.app.state
    service: Service = state.service
    batcher = service.batcher
    release = service.model.release
    needed = {
        "model": Check(ok=True, detail=f"{release.version}, verified as {release.bundle_md5}, warm"),
        "engine": Check(ok=batcher.alive, detail=f"{service.model.engine} on {service.model.device}, as asked"),
        "queue": Check(
            ok=batcher.admitted < batcher.capacity, detail=f"{batcher.admitted} of {batcher.capacity} images"
        ),
    }
    watched = {
        "release": Check(ok=not service.refused, detail=service.refused or "the last load succeeded"),
        "bus": _part(state.bus.describe()),
        "history": _part(state.history.describe()),
    }
    unready = not all(check.ok for check in needed.values())
    degraded = not all(check.ok for check in watched.values())
    return HealthAnswer(
        status="unready" if unready else "degraded" if degraded else "ok", checks=needed | watched
    )


def _part(seen: dict[str, Any]) -> Check:
    details = [f"{seen['backend']} is {seen['state']}", f"{seen['dropped']} dropped"]
    if "waiting" in seen:
        details.append(f"{seen['waiting']} waiting")
    return Check(ok=seen["state"] == "up", detail=", ".join(details))
