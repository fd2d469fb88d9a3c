"""``/v1/model``: what is served, and taking another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import ModelAnswer, ReloadAnswer, answers, problems
from pindet_serve.manifest import BundleError
from pindet_serve.serving.service import Busy, Service

_T = TypeVar("_T")
router = APIRouter(tags=["model"])


@router.get("/v1/model", responses=answers(200) | problems(500))
async def model(request: Request) -> ModelAnswer:
    """The lineage of what is served."""
    return _described(request.app.state.service)


@router.post("/v1/model/reload", responses=answers(200) | problems(409, 422, 500))
async def reload(
    request: Request,
    accept_classes: Annotated[bool, Query(description="serve it even if its class names differ")] = False,
) -> ReloadAnswer:
    """Serve what the source pins now; a release that is refused (409) leaves the present one serving."""
    service: Service = request.app.state.service
    changed = await _carried_out(lambda: service.reload(accept_classes=accept_classes))
    return ReloadAnswer(changed=changed, model=_described(service))


@router.post("/v1/model/rollback", responses=answers(200) | problems(409, 422, 500))
async def rollback(request: Request) -> ReloadAnswer:
    """Serve the release before this one; a restart keeps to it until another is released."""
    service: Service = request.app.state.service
    await _carried_out(service.rollback)
    return ReloadAnswer(changed=True, model=_described(service))


async def _carried_out(action: Callable[[], _T]) -> _T:
    try:
        return await run_in_threadpool(action)
    except BundleError as error:
        raise Problem(409, "Release refused", str(error)) from error
    except Busy as error:
        raise Problem(409, "Busy", str(error), headers={"Retry-After": "5"}) from error


def _described(service: Service) -> ModelAnswer:
    model = service.model
    release, manifest = model.release, model.manifest
    return ModelAnswer(
        name=release.name,
        version=release.version,
        md5=release.bundle_md5,
        stage=release.stage,
        engine=model.engine,
        device="cpu",
        classes=manifest.classes,
        image_height=manifest.image_height,
        image_width=manifest.image_width,
        score_threshold=manifest.score_threshold,
        max_detections=manifest.max_detections,
        metrics=manifest.metrics,
        data_md5=manifest.data_md5,
        lineage=release.lineage,
        can_roll_back=service.can_roll_back,
        refused=service.refused,
    )
