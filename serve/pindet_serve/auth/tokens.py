"""Signed proofs: tokens for an hour, tickets for one socket."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from pindet_serve.auth.principal import ROLES, Principal, Role

ALGORITHM = "HS256"
ISSUER = "pindet"
TOKEN_AUDIENCE = "pindet-api"
TICKET_AUDIENCE = "pindet-ticket"
TICKET_SECONDS = 30.0
_REQUIRED = ["exp", "iat", "aud", "iss", "sub", "jti"]


class InvalidTokenError(ValueError):
    """A proof that proves nothing; the message says why, for the log and for nobody else's secret."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says: who may open one socket, and its number, which may be used once."""

    principal: Principal
    number: str


class Tokens:
    """Issues and reads JSON Web Tokens (RFC 7519), HMAC with SHA-256 and nothing else.

    Args:
        keys: secrets; the first signs, the others are only still accepted, which is how a key is changed.
        token_seconds: how long a token is valid.
    """

    def __init__(self, keys: Sequence[str], token_seconds: float = 3600.0) -> None:
        if not keys or not all(keys):
            raise ValueError("no secret to sign tokens with; set JWT_SECRET")
        self._keys: Mapping[str, str] = {_key_id(key): key for key in keys}
        self._signing = _key_id(keys[0])
        self.token_seconds = token_seconds

    def issue(self, name: str, role: Role, generation: int, signed_in: float | None = None) -> str:
        """A token for a user, who gave the password just now unless ``signed_in`` says when."""
        since = time.time() if signed_in is None else signed_in
        return self._sign(TOKEN_AUDIENCE, self.token_seconds, name, role, generation, auth_time=since)

    def issue_ticket(self, principal: Principal) -> str:
        """A ticket: opens one socket within 30 s, for as long as the principal's own proof is valid."""
        return self._sign(
            TICKET_AUDIENCE, TICKET_SECONDS, principal.name, principal.role, principal.generation,
            until=principal.expires, auth_time=principal.signed_in or time.time(),
        )  # fmt: skip

    def read(self, token: str) -> Principal:
        """Whom a token is of.

        Raises:
            InvalidTokenError: expired, forged, of another audience, or no token at all.
        """
        claims = self._verified(token, TOKEN_AUDIENCE)
        return _principal(claims, float(claims["exp"]))

    def read_ticket(self, ticket: str) -> Ticket:
        """What a ticket says. Whether it was used before, the caller has to find out.

        Raises:
            InvalidTokenError: as for tokens.
        """
        claims = self._verified(ticket, TICKET_AUDIENCE)
        until = claims.get("until")
        return Ticket(_principal(claims, None if until is None else float(until)), str(claims["jti"]))

    def _sign(self, audience: str, seconds: float, name: str, role: Role, generation: int, **more: Any) -> str:
        now = time.time()
        claims = {
            "iss": ISSUER, "aud": audience, "sub": name, "role": role, "gen": generation,
            "iat": int(now), "exp": now + seconds, "jti": secrets.token_urlsafe(12), **more,
        }  # fmt: skip
        return jwt.encode(claims, self._keys[self._signing], ALGORITHM, headers={"kid": self._signing})

    def _verified(self, token: str, audience: str) -> dict[str, Any]:
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise InvalidTokenError("signed with a key that is not known here")
            claims = jwt.decode(
                token, key, [ALGORITHM], audience=audience, issuer=ISSUER, options={"require": _REQUIRED}
            )
        except jwt.PyJWTError as error:
            raise InvalidTokenError(str(error)) from error
        # PyJWT compares whole seconds only.
        if claims["exp"] <= time.time():
            raise InvalidTokenError("Signature has expired")
        return claims


def _principal(claims: Mapping[str, Any], expires: float | None) -> Principal:
    role, generation = claims.get("role"), claims.get("gen")
    signed_in = float(claims.get("auth_time", claims["iat"]))
    for known in ROLES:
        if role == known and isinstance(generation, int):
            return Principal(str(claims["sub"]), known, generation, expires, signed_in)
    raise InvalidTokenError(f"the role is {role!r}, the generation {generation!r}")


def _key_id(key: str) -> str:
    return hmac.new(key.encode(), b"key id", hashlib.sha256).hexdigest()[:12]
