"""Alembic's migrations, which the server runs itself."""
