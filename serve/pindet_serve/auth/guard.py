"""What routes ask: who is this, and may they?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection

from fastapi import Request
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from pindet_serve.api.problems import Problem
from pindet_serve.auth.origins import host_allowed, origin_allowed
from pindet_serve.auth.principal import NOBODY_NEEDED, Principal, Role
from pindet_serve.status.admission import EXPIRED, FORBIDDEN, Admission

POLICY_VIOLATION = 1008


class Guard(ABC):
    """Decides who may do what; ``app.state.auth``.

    Args:
        allowed_origins: further web origins whose pages may open sockets.
    """

    sign_in: bool

    def __init__(self, allowed_origins: Collection[str] = ()) -> None:
        self._allowed_origins = tuple(allowed_origins)

    @abstractmethod
    async def identify(self, connection: HTTPConnection) -> Principal | None:
        """Who is asking: ``None`` without a valid proof."""

    @abstractmethod
    async def start(self) -> None:
        """Begin to keep up with changes of users."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop that."""

    def watch(self, principal: Principal) -> Callable[[], bool] | None:
        """What tells whether someone still has the rights of a proof; ``None`` where nothing takes them away."""
        del principal
        return None

    async def principal(self, request: Request, role: Role) -> Principal:
        """Who is asking, if they may.

        Raises:
            Problem: 401 without a valid sign-in, 403 when the role does not include ``role``.
        """
        principal = await self.identify(request)
        if principal is None:
            raise Problem(
                401,
                "Sign-in needed",
                "no valid token came with the request; get one from POST /v1/auth/token and send it as Bearer",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not principal.may(role):
            raise Problem(403, "Not allowed", f"the role is {principal.role}; {role} is needed")
        return principal

    async def admit(self, websocket: WebSocket, role: Role = "viewer") -> Admission:
        """Whether a socket may be opened: by its origin, and by its ticket or token."""
        headers = websocket.headers
        if not origin_allowed(
            headers.get("origin"), headers.get("host"), self._allowed_origins, loopback_only=not self.sign_in
        ):
            return Admission(POLICY_VIOLATION, "this origin is not allowed")
        principal = await self.identify(websocket)
        if principal is None:
            return Admission(EXPIRED, "sign in, and get a ticket from POST /v1/auth/ticket")
        if not principal.may(role):
            return Admission(FORBIDDEN, f"the role is {principal.role}; {role} is needed")
        return Admission(expires=principal.expires, still_valid=self.watch(principal))


class OpenGuard(Guard):
    """Sign-in is off: everyone is an administrator. Only for a server that only its own machine can reach."""

    sign_in = False

    async def start(self) -> None:
        """Nothing to keep up with."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def principal(self, request: Request, role: Role) -> Principal:
        """Everyone, but no page of another site in a browser on this machine.

        Such a page may have the browser believe that its own name is this machine's address (DNS rebinding), and is
        then of this very server: it is told by the name that it asks under.

        Raises:
            Problem: 403 for such a page that would do something, and for a name that is not this machine's.
        """
        headers = request.headers
        if not host_allowed(headers.get("host"), self._allowed_origins):
            asked = headers["host"][:200]
            detail = f"sign-in is off, and only localhost is answered, not {asked}; see allowed_origins, or turn it on"
            raise Problem(403, "Not allowed", detail)
        if request.method not in ("GET", "HEAD") and not origin_allowed(
            headers.get("origin"), headers.get("host"), self._allowed_origins, loopback_only=True
        ):
            detail = f"sign-in is off, and pages of {headers['origin'][:200]} may do nothing here; see allowed_origins"
            raise Problem(403, "Not allowed", detail)
        return await super().principal(request, role)

    async def identify(self, connection: HTTPConnection) -> Principal | None:
        """Everyone."""
        del connection
        return NOBODY_NEEDED
