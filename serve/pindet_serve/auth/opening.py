"""Choosing the guard, and making the first administrator."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from pindet_serve.auth.guard import Guard, OpenGuard
from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.sign_in import Claim, SignIn
from pindet_serve.auth.tokens import Tokens
from pindet_serve.auth.users import Users
from pindet_serve.history.audit import AuditSink
from pindet_serve.history.database import Database

_log = logging.getLogger(__name__)


def open_guard(
    secrets: Sequence[str],
    database: Database,
    claim: Claim,
    audit: AuditSink,
    *,
    token_seconds: float = 3600.0,
    allowed_origins: Collection[str] = (),
) -> Guard:
    """The guard of a server.

    Args:
        secrets: what tokens are signed with, the current first, then those still accepted; none turns sign-in off.
        database: where the users are.
        claim: the bus's :meth:`~pindet_serve.status.bus.Bus.claim`.
        audit: the recorder's.
        token_seconds: how long a sign-in lasts.
        allowed_origins: further web origins whose pages may open sockets.
    """
    if not any(secrets):
        return OpenGuard(allowed_origins)
    tokens = Tokens([secret for secret in secrets if secret], token_seconds)
    return SignIn(Users(database), tokens, claim, audit, allowed_origins)


def create_first_admin(database: Database, name: str, password: str) -> bool:
    """Make the first administrator unless there is a user already; whether it was done.

    Raises:
        PasswordError: a password that must not be used.
        UserError: a name that is not allowed.
        SQLAlchemyError: the database is away.
    """
    created = Users(database).create_first_admin(name, Passwords().hash(password, name))
    if created:
        _log.info("the first administrator, %s, was created", name)
    return created
