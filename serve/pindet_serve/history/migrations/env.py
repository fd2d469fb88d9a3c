"""Run by Alembic: takes the connection, in a transaction, that the server has opened."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from pindet_serve.history.tables import metadata

_LOCK = 0x70696E64  # any number, the same for every replica


def run(connection: Connection) -> None:
    """Migrate; replicas that start together do it one after the other."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
