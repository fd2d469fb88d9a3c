"""Choosing the guard."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pindet_serve.auth.guard import Guard, OpenGuard
from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.sign_in import Claim, SignIn
from pindet_serve.auth.tokens import Tokens
from pindet_serve.auth.users import Users, check_name
from pindet_serve.history.audit import AuditSink
from pindet_serve.history.database import Database


def open_guard(
    secrets: Sequence[str],
    database: Database,
    claim: Claim,
    audit: AuditSink,
    *,
    token_seconds: float = 3600.0,
    allowed_origins: Collection[str] = (),
    first_admin: tuple[str, str] | None = None,
) -> Guard:
    """The guard of a server.

    Args:
        secrets: what tokens are signed with, the current first, then those still accepted; none turns sign-in off.
        database: where the users are.
        claim: the bus's :meth:`~pindet_serve.status.bus.Bus.claim`.
        audit: the recorder's.
        token_seconds: how long a sign-in lasts.
        allowed_origins: further web origins whose pages may open sockets.
        first_admin: name and password of the administrator to make, once the guard is started, if there is no user.

    Raises:
        PasswordError, UserError: the first administrator's password or name is not allowed.
    """
    if not any(secrets):
        return OpenGuard(allowed_origins)
    tokens = Tokens([secret for secret in secrets if secret], token_seconds)
    hashed = None
    if first_admin:
        name, password = first_admin
        check_name(name)
        hashed = name, Passwords().hash(password, name)
    return SignIn(Users(database), tokens, claim, audit, allowed_origins, hashed)
