"""``python -m pindet_serve.auth NAME [--role ROLE]``: add a user, or give one a new password and role.

For the first administrator, and for whoever has lost the password. Reads DATABASE_URL; asks for the password, or
takes it from PINDET_USER_PASSWORD.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Mapping, Sequence

from sqlalchemy.exc import SQLAlchemyError

from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.principal import ROLES
from pindet_serve.auth.users import Users
from pindet_serve.history.database import Database


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Carry out the command; returns what was done.

    Raises:
        ValueError: no database, or a name, password or role that is not allowed.
    """
    parser = argparse.ArgumentParser("python -m pindet_serve.auth", description="Add or reset a user.")
    parser.add_argument("name")
    parser.add_argument("--role", choices=ROLES, default="admin")
    given = parser.parse_args(arguments)
    if not (url := environment.get("DATABASE_URL")):
        raise ValueError("DATABASE_URL is not set; use the server's, such as sqlite:///.pindet/serve/history.db")
    password = environment.get("PINDET_USER_PASSWORD") or getpass.getpass(f"Password of {given.name}: ")
    database = Database(url)
    try:
        users, hash = Users(database), Passwords().hash(password, given.name)
        if users.get(given.name):
            users.change(given.name, role=given.role, password_hash=hash, enabled=True)
            return f"{given.name} has a new password and the role {given.role}"
        users.create(given.name, hash, given.role)
        return f"{given.name} was added with the role {given.role}"
    except SQLAlchemyError as error:
        raise ValueError(f"the database can not be used: {type(error).__name__}") from error
    finally:
        database.close()


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:], os.environ) + "\n")
    except ValueError as error:
        sys.exit(str(error))
