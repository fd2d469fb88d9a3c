"""``/v1/releases``: what is released, stage by stage."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import answers, problems
from pindet_serve.auth.require import require
from pindet_serve.manifest import BundleError
from pindet_serve.serving.released import Listed, list_releases

router = APIRouter(tags=["model"])


class ReleaseAnswer(BaseModel):
    """The release of one stage; ``error`` says why it can not be read, and the rest is empty then."""

    stage: str = Field(description="production, …: the name of its release file")
    name: str = Field(default="", description="name of the artifact")
    version: str = Field(default="", description="v1.2.0, …")
    md5: str = Field(default="", description="DVC's md5 of its bundle")
    lineage: dict[str, Any] = Field(default={}, description="what it says of itself: commit, run, who, when")
    followed: bool = Field(description="whether this server serves what this stage pins")
    served: bool = Field(default=False, description="whether its bundle is what this server answers with now")
    error: str = Field(default="", description="why it can not be read; empty when it can")


@router.get(
    "/v1/releases",
    dependencies=[Depends(require("viewer"))],
    responses=answers(200, "The releases") | problems(401, 403, 500, 503),
)
async def releases(request: Request) -> list[ReleaseAnswer]:
    """The releases beside the one that this server follows; none when it serves a workspace."""
    source: str = request.app.state.settings.source
    try:
        listed = await run_in_threadpool(list_releases, source)
    except BundleError as error:
        raise Problem(503, "The releases are away", str(error), headers={"Retry-After": "5"}) from error
    served = request.app.state.service.model.release.bundle_md5
    return [_described(one, source, served) for one in listed]


def _described(one: Listed, source: str, served: str) -> ReleaseAnswer:
    followed = source.replace("\\", "/").rsplit("/", 1)[-1] == f"{one.stage}.json"
    release = one.release
    if release is None:
        return ReleaseAnswer(stage=one.stage, followed=followed, error=one.error)
    return ReleaseAnswer(
        stage=one.stage,
        name=release.name,
        version=release.version,
        md5=release.bundle_md5,
        lineage=release.lineage,
        followed=followed,
        served=release.bundle_md5 == served,
    )
