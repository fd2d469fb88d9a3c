"""The users, in the database."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from pindet_serve.auth.principal import ROLES, Role
from pindet_serve.history.database import Database
from pindet_serve.history.tables import users

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class UserError(ValueError):
    """A change of users that is not possible; the message says why."""


@dataclass(frozen=True, slots=True)
class User:
    """One user; ``generation`` counts what makes older tokens invalid: role, password, being enabled."""

    name: str
    password_hash: str
    role: Role
    enabled: bool
    generation: int
    created_ms: int


class Users:
    """Reads and changes users. Each method is one transaction, and waits for the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[User]:
        """Every user, by name."""
        with self._database.begin() as connection:
            return [User(**row._mapping) for row in connection.execute(select(users).order_by(users.c.name))]

    def get(self, name: str) -> User | None:
        """One user."""
        with self._database.begin() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).first()
        return User(**row._mapping) if row else None

    def create(self, name: str, password_hash: str, role: Role) -> User:
        """Add a user.

        Raises:
            UserError: the name is taken or not allowed, or the role does not exist.
        """
        check_name(name)
        if role not in ROLES:
            raise UserError(f"the role is {role!r}; allowed are {', '.join(ROLES)}")
        user = User(name, password_hash, role, True, _new_generation(), time.time_ns() // 1_000_000)
        try:
            with self._database.begin(write=True) as connection:
                connection.execute(insert(users).values(**_values(user)))
        except IntegrityError as error:
            raise UserError(f"the name {name} is taken") from error
        return user

    def create_first_admin(self, name: str, password_hash: str) -> bool:
        """Add an administrator if there is no user at all; whether it was done."""
        with self._database.begin() as connection:
            if connection.execute(select(func.count()).select_from(users)).scalar_one():
                return False
        try:
            self.create(name, password_hash, "admin")
        except UserError:
            if self.get(name) is None:
                raise
            return False  # another replica was quicker
        _log.info("the first administrator, %s, was made", name)
        return True

    def change(
        self, name: str, *, role: Role | None = None, password_hash: str | None = None, enabled: bool | None = None
    ) -> User:
        """Change a user; its tokens become invalid.

        Raises:
            UserError: no such user, or no enabled administrator would be left.
        """
        with self._changing() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).first()
            if row is None:
                raise UserError(f"there is no user {name}")
            before = User(**row._mapping)
            user = replace(
                before,
                role=role or before.role,
                password_hash=password_hash or before.password_hash,
                enabled=before.enabled if enabled is None else enabled,
                generation=before.generation + 1,
            )
            connection.execute(update(users).where(users.c.name == name).values(**_values(user)))
            _require_admin(connection.execute(_ADMINS).scalar_one())
        return user

    def remove(self, name: str) -> None:
        """Remove a user.

        Raises:
            UserError: no such user, or no enabled administrator would be left.
        """
        with self._changing() as connection:
            if not connection.execute(delete(users).where(users.c.name == name)).rowcount:
                raise UserError(f"there is no user {name}")
            _require_admin(connection.execute(_ADMINS).scalar_one())

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._database.begin(write=True) as connection:
            if self._database.backend == "postgresql":
                # Two who each remove the other administrator must not both find one left. SQLite has one writer.
                connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
            yield connection


def check_name(name: str) -> None:
    """Raise :class:`UserError` unless a user may have this name."""
    if not _NAME.fullmatch(name):
        raise UserError(f"the name is {name!r}; allowed are 1 to 64 letters, digits and ._@-, the first no sign")


_ADMINS = select(func.count()).select_from(users).where(users.c.role == "admin", users.c.enabled)


def _require_admin(left: int) -> None:
    if not left:
        raise UserError("no enabled administrator would be left; make another one first")


def _new_generation() -> int:
    # A name that is removed and given again must not revive the tokens of the one before.
    return time.time_ns() // 1_000_000


def _values(user: User) -> dict[str, object]:
    return {
        "name": user.name, "password_hash": user.password_hash, "role": user.role, "enabled": user.enabled,
        "generation": user.generation, "created_ms": user.created_ms,
    }  # fmt: skip
