"""``POST /v1/releases/{stage}``: wish for another version in a stage; the release agent carries it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import answers, problems
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.require import require
from pindet_serve.history.audit import AuditEntry
from pindet_serve.status.bus import Bus
from pindet_serve.status.release_agent import SILENT_SECONDS, TYPE, AgentSaid, latest
from pindet_serve.status.wish import STAGE, VERSION, Kind, Wish, WishError

BY_HAND = "run `pindet promote --stage STAGE --rev VERSION` (or `pindet rollback`) in the project"
Admin = Annotated[Principal, Depends(require("admin"))]
StageName = Annotated[str, Path(description="the stage that shall change: production, …", pattern=STAGE)]
router = APIRouter(tags=["model"])


class StageChange(BaseModel):
    """What a stage shall hold."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(description="the version that it shall hold: v1.2.0, …; a tag of it exists", pattern=VERSION)
    kind: Kind = Field(
        default="promote",
        description="promote: every gate judges it, the comparison with what the stage holds included; "
        "rollback: to a version that the stage held before, which has to prove itself, but need not be better",
    )


class WishAnswer(BaseModel):
    """A wish that the release agent was told of; what becomes of it is told by the status feed under its id."""

    id: str = Field(description="of the wish: events release.accepted, then release.done or release.refused bear it")
    kind: Kind = Field(description="promote or rollback")
    stage: str = Field(description="that shall change")
    version: str = Field(description="that it shall hold")


@router.post(
    "/v1/releases/{stage}",
    status_code=202,
    responses=answers(202, "The wish is on its way to the release agent")
    | problems(400, 401, 403, 408, 409, 413, 422, 500, 503),
)
async def change_stage(request: Request, stage: StageName, change: StageChange, admin: Admin) -> WishAnswer:
    """Wish for another version in a stage.

    This server only passes the wish on, signed. The release agent carries it out where the repository is, with every
    gate of ``pindet promote``, at most once, and not later than a minute after it was made.
    """
    entry = AuditEntry(
        actor=admin.name,
        action=f"release.{change.kind}",
        target=f"{stage} {change.version}",
        address=request.client.host if request.client else "",
    )
    try:
        wish = await _wish(request.app, stage, change, admin.name)
    except Problem as problem:
        details = {"reason": str(problem.body["detail"])}
        request.app.state.history.audit(replace(entry, outcome="refused", details=details))
        raise
    request.app.state.history.audit(replace(entry, details={"id": wish.id}))
    return WishAnswer(id=wish.id, kind=wish.kind, stage=wish.stage, version=wish.version)


async def _wish(app: FastAPI, stage: str, change: StageChange, by: str) -> Wish:
    if why := why_closed(app, stage):
        raise Problem(409, "The release can not be changed from here", why)
    try:
        wish = Wish(kind=change.kind, stage=stage, version=change.version, by=by)
    except WishError as error:
        raise Problem(409, "The release can not be changed from here", f"{error}; {BY_HAND}") from error
    bus: Bus = app.state.bus
    await bus.publish("release.wanted", wish.signed(app.state.settings.release_secret))
    return wish


def agent_said(app: FastAPI) -> AgentSaid | None:
    """What the release agent said last."""
    bus: Bus = app.state.bus
    return latest(bus.hub.known(TYPE))


def why_closed(app: FastAPI, stage: str) -> str:
    """Why nobody can change a stage from here, and what to do; empty when it can be."""
    bus: Bus = app.state.bus
    said = agent_said(app)
    if bus.backend == "memory":
        return f"this server has no bus that a release agent could hear (REDIS_URL is not set); {BY_HAND}"
    if not app.state.settings.release_secret:
        return f"RELEASE_SECRET is not set, by which the release agent would know this server's wishes; {BY_HAND}"
    if bus.state != "up":
        return "Redis is away, so no release agent can hear it; try again when the status bus is back"
    if said is None or not said.listens:
        heard = "never" if said is None else f"{said.heard_s:.0f} s ago"
        return (
            f"the release agent was heard of {heard}; {SILENT_SECONDS:.0f} s ago at most is needed. "
            f"Look whether it runs, or {BY_HAND}"
        )
    if not said.carries_out:
        return f"the release agent carries out no wishes; set RELEASES_FROM_PAGE=on for it, or {BY_HAND}"
    if stage not in said.stages:
        return f"the release agent knows no stage {stage!r}; it knows {', '.join(sorted(said.stages)) or 'none'}"
    return ""
