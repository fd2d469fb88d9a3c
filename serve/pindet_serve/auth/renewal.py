"""A fresh token for one that is still good, so that who watches all day signs in once."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import UNSTORED, answers, problems
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.require import require
from pindet_serve.auth.routes import SignedIn
from pindet_serve.auth.schemas import TokenAnswer

LONGEST_SESSION_SECONDS = 12 * 3600.0
"""From the password on; then it has to be typed again."""
router = APIRouter(tags=["sign-in"])


@router.post("/v1/auth/renew", responses=answers(200, "The new token", headers=UNSTORED) | problems(401, 403, 409, 500))
async def renew(
    response: Response, principal: Annotated[Principal, Depends(require("viewer"))], guard: SignedIn
) -> TokenAnswer:
    """Get a new token for one that is still valid, up to twelve hours after the password was given."""
    response.headers["Cache-Control"] = "no-store"
    since = principal.signed_in or 0.0
    if time.time() - since > LONGEST_SESSION_SECONDS:
        hours = LONGEST_SESSION_SECONDS / 3600
        raise Problem(
            401,
            "Sign-in needed",
            f"the password was given more than {hours:g} hours ago; sign in again",
            headers={"WWW-Authenticate": "Bearer"},
        )
    tokens = guard.tokens
    text = tokens.issue(principal.name, principal.role, principal.generation, signed_in=since)
    return TokenAnswer(
        access_token=text, token_type="bearer", expires_in=int(tokens.token_seconds), role=principal.role
    )
