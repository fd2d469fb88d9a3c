"""``/v1/releases``: what is released, stage by stage."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import answers, problems
from pindet_serve.api.stage_changes import agent_said, why_closed
from pindet_serve.auth.require import require
from pindet_serve.manifest import BundleError
from pindet_serve.serving.released import Listed, list_releases
from pindet_serve.status.release_agent import AgentSaid, Choice
from pindet_serve.status.wish import VERSION

router = APIRouter(tags=["model"])


class ChoiceAnswer(BaseModel):
    """A version that a stage may be given."""

    version: str = Field(description="v1.2.0, …")
    commit: str = Field(description="of the version, 40 hexadecimal digits; empty when it is not known")
    when: float | None = Field(description="when it became a version, seconds since 1970; null when it is not known")
    metrics: dict[str, float] = Field(description="test metrics of all classes together, as far as they are known")


class ReleaseAnswer(BaseModel):
    """The release of one stage; ``error`` says why it can not be read, and what it holds is empty then."""

    stage: str = Field(description="production, …: the name of its release file")
    name: str = Field(default="", description="name of the artifact")
    version: str = Field(default="", description="v1.2.0, …")
    md5: str = Field(default="", description="DVC's md5 of its bundle")
    lineage: dict[str, Any] = Field(default={}, description="what it says of itself: commit, run, who, when")
    followed: bool = Field(description="whether this server serves what this stage pins")
    served: bool = Field(default=False, description="whether its bundle is what this server answers with now")
    error: str = Field(default="", description="why it can not be read; empty when it can")
    choices: list[ChoiceAnswer] = Field(
        default=[], description="versions that it may be given, latest first: of the other stages, and tagged ones"
    )
    before: list[str] = Field(
        default=[], description="versions that it held before: first, latest first, those that were not rolled back"
    )
    closed: str = Field(
        default="", description="why POST /v1/releases/{stage} would refuse now, and what to do; else empty"
    )


@router.get(
    "/v1/releases",
    dependencies=[Depends(require("viewer"))],
    responses=answers(200, "The releases") | problems(401, 403, 500, 503),
)
async def releases(request: Request) -> list[ReleaseAnswer]:
    """The releases beside the one that this server follows; none when it serves a workspace.

    With a release agent on the status bus also what its stages may be given, and the stages that hold nothing yet.
    """
    source: str = request.app.state.settings.source
    try:
        listed = await run_in_threadpool(list_releases, source)
    except BundleError as error:
        raise Problem(503, "The releases are away", str(error), headers={"Retry-After": "5"}) from error
    served = request.app.state.service.model.release.bundle_md5
    said = agent_said(request.app)
    found = [_described(one, source, served) for one in listed]
    empty = set(said.stages if said and said.listens else ()) - {one.stage for one in found}
    found += [ReleaseAnswer(stage=stage, followed=False) for stage in sorted(empty)]
    return [_with_choices(one, _choices(found, said), said, request.app) for one in found]


def _choices(found: list[ReleaseAnswer], said: AgentSaid | None) -> list[ChoiceAnswer]:
    """The versions that are tagged, as the agent says, and those of release files that it does not name."""
    tagged = said.versions if said else []
    named = {choice.version for choice in tagged}
    held = {one.version: Choice(one.version, *_known(one.lineage)) for one in found if re.match(VERSION, one.version)}
    others = [choice for version, choice in sorted(held.items(), key=_numbers, reverse=True) if version not in named]
    return [ChoiceAnswer(**asdict(choice)) for choice in [*tagged, *others]]


def _numbers(named: tuple[str, Choice]) -> list[int]:
    return [int(digits) for digits in re.findall(r"[0-9]{1,9}", named[0])]


def _known(lineage: dict[str, Any]) -> tuple[str, float | None, dict[str, float]]:
    metrics = lineage.get("metrics")
    numbers = metrics.items() if isinstance(metrics, dict) else ()
    overall = {key: float(value) for key, value in numbers if key.count("/") == 1 and isinstance(value, int | float)}
    return str(lineage.get("git_commit", "")), None, overall


def _with_choices(
    one: ReleaseAnswer, choices: list[ChoiceAnswer], said: AgentSaid | None, app: FastAPI
) -> ReleaseAnswer:
    return one.model_copy(
        update={
            "choices": [choice for choice in choices if choice.version != one.version],
            "before": said.stages.get(one.stage, []) if said else [],
            "closed": why_closed(app, one.stage),
        }
    )


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
