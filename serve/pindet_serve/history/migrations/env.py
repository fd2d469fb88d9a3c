"""Run by Alembic: takes the connection that the server has opened, or the URL of ``alembic -x url=…``."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, text

from pindet_serve.history.tables import metadata

_LOCK = 0x70696E64  # any number, the same for every replica


def run(connection: Connection) -> None:
    """Migrate; replicas that start together do it one after the other."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        run(opened)
