"""The database of history and users: opened lazily, migrated by whoever comes first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 5000
_MIGRATING = threading.Lock()  # Alembic keeps its state in globals


class DatabaseUrlError(ValueError):
    """A database URL that can not be used; the message says why, without the password."""


class OtherRevisionError(SQLAlchemyError):
    """The tables are of a revision that this version does not know, as after a step back to an older server."""


class Database:
    """Connections to SQLite or PostgreSQL. Nothing is opened before the first use; safe for threads.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/name``.
        timeout_s: how long the server may take to connect, and to carry out a statement.

    Raises:
        DatabaseUrlError: another database, or one whose driver is not installed.
    """

    def __init__(self, url: str, timeout_s: int = 5) -> None:
        self.url = _checked(url)
        self.backend = self.url.get_backend_name()
        self._engine = _engine(self.url, timeout_s)
        self._migrated = False

    @contextmanager
    def begin(self, *, write: bool = False) -> Iterator[Connection]:
        """A transaction on tables of the newest version.

        Args:
            write: it will write; SQLite then waits for other writers now, where it can, not in the middle.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away, full, broken, or of a revision that is not known here.
        """
        if not self._migrated:
            with _MIGRATING:
                if not self._migrated:
                    self._migrate()
                    self._migrated = True
        with self._engine.execution_options(immediate=write).begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        if self.backend == "sqlite" and self.url.database:
            with suppress(OSError):  # SQLite says that it can not open the file
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._engine.execution_options(immediate=True).begin() as connection:
            config.attributes["connection"] = connection
            try:
                alembic.command.upgrade(config, "head")
            except CommandError as error:
                raise OtherRevisionError(f"the database can not be brought to this version: {error}") from error


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUrlError(
            "DATABASE_URL is no URL; allowed are sqlite:///path and postgresql://user:password@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise DatabaseUrlError(f"DATABASE_URL is of {backend}; allowed are sqlite and postgresql")
    return parsed


def _engine(url: URL, timeout_s: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY_MS / 1000})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = f"-c statement_timeout={timeout_s * 1000} -c lock_timeout={timeout_s * 1000}"
    try:
        return create_engine(
            url,
            pool_size=4,
            pool_pre_ping=True,
            pool_timeout=timeout_s,
            connect_args={
                "connect_timeout": timeout_s,
                "options": options,
                # A server that is frozen, not gone, would otherwise be waited for without end.
                "tcp_user_timeout": timeout_s * 1000,
            },
        )
    except ModuleNotFoundError as error:
        raise DatabaseUrlError(
            "DATABASE_URL is of postgresql and psycopg is not installed; pip install 'pindet-serve[postgres]'"
        ) from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # WAL lets readers go on while the one writer writes; NORMAL loses at most the last moment on a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    # Python's own idea of when a transaction begins leaves out what changes tables.
    connection.isolation_level = None


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
