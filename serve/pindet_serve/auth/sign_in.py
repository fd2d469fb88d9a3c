"""Sign-in with name and password, tokens and tickets."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from starlette.requests import HTTPConnection

from pindet_serve.api.problems import Problem
from pindet_serve.auth.directory import Directory
from pindet_serve.auth.guard import Guard
from pindet_serve.auth.lockout import Lockout
from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.tokens import TICKET_SECONDS, InvalidTokenError, Tokens
from pindet_serve.auth.users import Users
from pindet_serve.history.audit import AuditEntry, AuditSink
from pindet_serve.history.away import needing_database

Claim = Callable[[str, float], Awaitable[bool]]
_log = logging.getLogger(__name__)


class SignIn(Guard):
    """Knows the users.

    Args:
        users: where they are kept.
        tokens: issues and reads proofs.
        claim: whether a ticket's number is used for the first time; the bus's, so that all replicas know.
        audit: where signing in is noted.
        allowed_origins: further web origins whose pages may open sockets.
        first_admin: name and hash of the administrator to make if there is no user.
    """

    sign_in = True

    def __init__(
        self,
        users: Users,
        tokens: Tokens,
        claim: Claim,
        audit: AuditSink,
        allowed_origins: Collection[str] = (),
        first_admin: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(allowed_origins)
        self.users = users
        self.tokens = tokens
        self.passwords = Passwords()
        self.directory = Directory(users, lambda: first_admin and users.create_first_admin(*first_admin))
        self.audit = audit
        self._claim = claim
        # Guessing one user's password from one place; many users' from one place; one user's from many places.
        self._lockouts = {"both": Lockout(5), "address": Lockout(20), "name": Lockout(50)}

    async def start(self) -> None:
        """Begin to keep up with changes of users."""
        await self.directory.start()

    async def stop(self) -> None:
        """Stop that."""
        await self.directory.stop()

    def watch(self, principal: Principal) -> Callable[[], bool]:
        """What tells whether the user was neither changed nor removed since."""
        return partial(self.directory.still_valid, principal)

    async def identify(self, connection: HTTPConnection) -> Principal | None:
        """Who is asking: by ``Authorization: Bearer``, or on a socket by ``?ticket=`` too."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() == "bearer":
                principal = self.tokens.read(token.strip())
            elif connection.scope["type"] == "websocket" and (text := connection.query_params.get("ticket")):
                ticket = self.tokens.read_ticket(text)
                if not await self._claim(f"ticket:{ticket.number}", TICKET_SECONDS):
                    raise InvalidTokenError("the ticket was used before")
                principal = ticket.principal
            else:
                return None
        except InvalidTokenError as error:
            _log.info("a proof was refused: %s", error)
            return None
        return principal if self.directory.still_valid(principal) else None

    async def exchange(self, name: str, password: str, address: str) -> tuple[str, Principal]:
        """A token for a name and a password.

        Raises:
            Problem: 401 when they do not fit, 429 after too many failures, 503 while the database is away.
        """
        keys = {"both": f"{name}\n{address}", "address": address, "name": name}
        self._refuse_locked(keys)
        with needing_database("signing in is not possible"):
            user = await asyncio.to_thread(self.users.get, name)
        fits = await self.passwords.verify(user.password_hash if user else None, password)
        # Several guesses at once must not all slip in before the first has failed.
        self._refuse_locked(keys)
        if user is None or not fits or not user.enabled:
            for kind, key in keys.items():
                self._lockouts[kind].failed(key)
            self.audit(AuditEntry(actor=name[:64], action="sign_in", outcome="refused", address=address))
            raise Problem(
                401, "Sign-in refused", "name and password do not fit", headers={"WWW-Authenticate": "Bearer"}
            )
        self._lockouts["both"].succeeded(keys["both"])
        self.directory.note(user)
        self.audit(AuditEntry(actor=user.name, action="sign_in", address=address))
        token = self.tokens.issue(user.name, user.role, user.generation)
        return token, self.tokens.read(token)

    def _refuse_locked(self, keys: dict[str, str]) -> None:
        seconds = max(self._lockouts[kind].locked_for(key) for kind, key in keys.items())
        if seconds > 0:
            raise Problem(
                429,
                "Too many failures",
                f"signing in failed too often; try again in {math.ceil(seconds)} s",
                headers={"Retry-After": str(math.ceil(seconds))},
            )
