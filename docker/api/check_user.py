"""The user that the check signs in as.

It may do the least, and its password follows from the server's own secret: there is none to keep, and the check works
whatever passwords people give themselves. Who may read that secret could sign tokens anyway.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from pindet_serve.auth.__main__ import main as set_user
from pindet_serve.auth.users import Users
from pindet_serve.history.database import Database

NAME = "stack-check"
ROLE = "viewer"


def password(environment: Mapping[str, str]) -> str:
    """What it is with the present secret."""
    return hmac.new(environment["JWT_SECRET"].encode(), NAME.encode(), "sha256").hexdigest()


def make(environment: Mapping[str, str]) -> None:
    """Add the user, or give it its password and role back.

    Raises:
        RuntimeError: there is no user at all: the server makes the first administrator only while that is so.
        ValueError: the database can not be used.
    """
    database = Database(environment["DATABASE_URL"])
    try:
        if not Users(database).all():
            raise RuntimeError("there is no user yet; api makes the administrator within seconds of its start")
    finally:
        database.close()
    set_user([NAME, "--role", ROLE], {**environment, "PINDET_USER_PASSWORD": password(environment)})
