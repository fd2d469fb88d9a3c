"""The dependency by which a route says which role it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from pindet_serve.auth.guard import Guard
from pindet_serve.auth.principal import ROLES, Principal, Role

# It only describes itself in the OpenAPI document; the guard does the work.
_described = OAuth2PasswordBearer(tokenUrl="/v1/auth/token", auto_error=False)


def require(role: Role) -> Callable[..., Awaitable[Principal]]:
    """A dependency that gives the :class:`Principal`, or answers 401 or 403.

    Use it as ``principal: Annotated[Principal, Depends(require("viewer"))]``. It reads ``app.state.auth``.
    """
    if role not in ROLES:
        raise ValueError(f"the role is {role!r}; allowed are {', '.join(ROLES)}")

    async def check(request: Request, _: Annotated[str | None, Depends(_described)]) -> Principal:
        guard: Guard = request.app.state.auth
        return await guard.principal(request, role)

    return check
