"""``/v1/model``: what is served, and taking another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import RETRY_AFTER, ModelAnswer, ModelName, ReloadAnswer, answers, problems
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.require import require
from pindet_serve.history.audit import AuditEntry
from pindet_serve.manifest import BundleError
from pindet_serve.serving.service import Busy, Service

_T = TypeVar("_T")
Operator = Annotated[Principal, Depends(require("operator"))]
router = APIRouter(tags=["model"])
_REFUSALS = problems(401, 403, 422, 500) | problems(409, headers=RETRY_AFTER)


@router.get(
    "/v1/model",
    dependencies=[Depends(require("viewer"))],
    responses=answers(200, "The model that answers") | problems(401, 403, 500),
)
async def model(request: Request) -> ModelAnswer:
    """The lineage of what is served."""
    return _described(request.app)


@router.post(
    "/v1/model/reload",
    responses=answers(200, "The model that answers now") | _REFUSALS,
)
async def reload(
    request: Request,
    operator: Operator,
    accept_classes: Annotated[bool, Query(description="serve it even if its class names differ")] = False,
) -> ReloadAnswer:
    """Serve what the source pins now; a release that is refused (409) leaves the present one serving."""
    service: Service = request.app.state.service
    changed = await _carried_out(lambda: service.reload(accept_classes=accept_classes), request, operator)
    return ReloadAnswer(changed=changed, model=_described(request.app))


@router.post(
    "/v1/model/rollback",
    responses=answers(200, "The model that answers now") | _REFUSALS,
)
async def rollback(request: Request, operator: Operator) -> ReloadAnswer:
    """Serve the release before this one; a restart keeps to it until another is released."""
    service: Service = request.app.state.service
    await _carried_out(service.rollback, request, operator)
    return ReloadAnswer(changed=True, model=_described(request.app))


async def _carried_out(action: Callable[[], _T], request: Request, operator: Principal) -> _T:
    entry = AuditEntry(
        actor=operator.name,
        action=request.url.path.removeprefix("/v1/").replace("/", "."),
        target=request.app.state.service.model.release.bundle_md5,
        address=request.client.host if request.client else "",
    )
    try:
        done = await run_in_threadpool(action)
    except (BundleError, Busy) as error:
        request.app.state.history.audit(replace(entry, outcome="refused", details={"reason": str(error)}))
        title, headers = ("Busy", {"Retry-After": "5"}) if isinstance(error, Busy) else ("Release refused", {})
        raise Problem(409, title, str(error), headers=headers) from error
    request.app.state.history.audit(entry)
    return done


def _described(app: FastAPI) -> ModelAnswer:
    service: Service = app.state.service
    model = service.model
    release, manifest = model.release, model.manifest
    previous, declined = service.previous, service.declined
    return ModelAnswer(
        **release.named,
        stage=release.stage,
        engine=model.engine,
        device=model.device,
        classes=manifest.classes,
        image_height=manifest.image_height,
        image_width=manifest.image_width,
        score_threshold=manifest.score_threshold,
        max_detections=manifest.max_detections,
        metrics=manifest.metrics,
        data_md5=manifest.data_md5,
        lineage=release.lineage,
        mlflow_url=app.state.settings.mlflow_url,
        can_roll_back=previous is not None,
        previous=None if previous is None else ModelName(**previous.named),
        declined=None if declined is None else ModelName(**declined.named),
        refused=service.refused,
    )
