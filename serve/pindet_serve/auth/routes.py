"""Sign-in and users over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Form, Path, Request, Response

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import UNSTORED, answers, problems
from pindet_serve.auth.guard import Guard
from pindet_serve.auth.passwords import PasswordError
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.require import require
from pindet_serve.auth.schemas import Me, NewUser, SignInForm, TicketAnswer, TokenAnswer, UserAnswer, UserChange
from pindet_serve.auth.sign_in import SignIn
from pindet_serve.auth.tokens import TICKET_SECONDS
from pindet_serve.auth.users import UserError
from pindet_serve.history.audit import AuditEntry
from pindet_serve.history.away import needing_database

router = APIRouter(tags=["sign-in"])
T = TypeVar("T")
_USERS = problems(401, 403, 409, 500, 503)
Viewer = Annotated[Principal, Depends(require("viewer"))]
Name = Annotated[str, Path(description="of the user")]
Admin = Annotated[Principal, Depends(require("admin"))]


async def _sign_in(request: Request) -> SignIn:
    guard: Guard = request.app.state.auth
    if not isinstance(guard, SignIn):
        raise Problem(409, "Sign-in is off", "this server has no users and needs no token; JWT_SECRET turns sign-in on")
    return guard


SignedIn = Annotated[SignIn, Depends(_sign_in)]


@router.post(
    "/v1/auth/token",
    responses=answers(200, "The token", headers=UNSTORED) | problems(400, 401, 408, 409, 413, 422, 429, 500, 503),
)
async def token(
    request: Request, response: Response, form: Annotated[SignInForm, Form()], guard: SignedIn
) -> TokenAnswer:
    """Sign in with name and password (OAuth2 password flow)."""
    response.headers["Cache-Control"] = "no-store"
    text, principal = await guard.exchange(form.username, form.password, _address(request))
    return TokenAnswer(
        access_token=text, token_type="bearer", expires_in=int(guard.tokens.token_seconds), role=principal.role
    )


@router.post("/v1/auth/ticket", responses=answers(200, "The ticket", headers=UNSTORED) | problems(401, 403, 409, 500))
async def ticket(response: Response, principal: Viewer, guard: SignedIn) -> TicketAnswer:
    """Get a ticket that opens one socket within 30 s, for browsers, which can not send a token with it."""
    response.headers["Cache-Control"] = "no-store"
    return TicketAnswer(ticket=guard.tokens.issue_ticket(principal), expires_in=int(TICKET_SECONDS))


@router.get("/v1/auth/me", responses=answers(200, "The user") | problems(401, 403, 500))
async def me(request: Request, principal: Viewer) -> Me:
    """Who the token is of."""
    return Me(name=principal.name, role=principal.role, sign_in=request.app.state.auth.sign_in)


@router.get("/v1/users", responses=answers(200, "The users") | _USERS)
async def list_users(_: Admin, guard: SignedIn) -> list[UserAnswer]:
    """All users."""
    return [UserAnswer.of(user) for user in await _stored(guard.users.all)]


@router.post(
    "/v1/users", status_code=201, responses=answers(201, "The new user") | problems(400, 408, 413, 422) | _USERS
)
async def create_user(request: Request, new: NewUser, admin: Admin, guard: SignedIn) -> UserAnswer:
    """Add a user."""
    hash = await _stored(guard.passwords.hash, new.password, new.name)
    user = await _stored(guard.users.create, new.name, hash, new.role)
    guard.directory.note(user)
    guard.audit(_entry(request, admin, "user.create", new.name, role=new.role))
    return UserAnswer.of(user)


@router.patch(
    "/v1/users/{name}", responses=answers(200, "The user as it is now") | problems(400, 404, 408, 413, 422) | _USERS
)
async def change_user(request: Request, name: Name, change: UserChange, admin: Admin, guard: SignedIn) -> UserAnswer:
    """Change a user's role or password, or whether it may sign in."""
    hash = await _stored(guard.passwords.hash, change.password, name) if change.password else None
    user = await _stored(guard.users.change, name, role=change.role, password_hash=hash, enabled=change.enabled)
    guard.directory.note(user)
    changed = {"role": change.role, "enabled": change.enabled, "password": bool(hash)}
    guard.audit(_entry(request, admin, "user.change", name, **changed))
    return UserAnswer.of(user)


@router.delete(
    "/v1/users/{name}", status_code=204, responses=answers(204, "The user is gone") | problems(404, 422) | _USERS
)
async def remove_user(request: Request, name: Name, admin: Admin, guard: SignedIn) -> None:
    """Remove a user."""
    await _stored(guard.users.remove, name)
    guard.directory.forget(name)
    guard.audit(_entry(request, admin, "user.remove", name))


async def _stored(call: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run something that waits for the database or hashes, aside, and turn its errors into problems."""
    try:
        with needing_database("users can not be read or changed"):
            return await asyncio.to_thread(call, *arguments, **named)
    except UserError as error:
        missing = str(error).startswith("there is no user")
        raise Problem(404 if missing else 409, "No such user" if missing else "Not possible", str(error)) from error
    except PasswordError as error:
        raise Problem(422, "Invalid parameters", str(error)) from error


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _entry(request: Request, admin: Principal, action: str, target: str, **details: Any) -> AuditEntry:
    return AuditEntry(actor=admin.name, action=action, target=target, address=_address(request), details=details)
