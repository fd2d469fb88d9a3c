import multiprocessing
import threading

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pindet_serve.history.database import Database, DatabaseUrlError
from pindet_serve.history.tables import metadata
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError


def test_the_migrations_make_the_tables_as_they_are_described(database):
    with database.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def use(url, answers):
    database = Database(url)
    try:
        with database.begin() as connection:
            answers.put(connection.execute(select(metadata.tables["users"])).all())
    except Exception as error:
        answers.put(repr(error))
    database.close()


@pytest.mark.parametrize("kind", [threading.Thread, multiprocessing.get_context("spawn").Process])
def test_threads_and_replicas_that_start_together_migrate_once(url, kind):
    answers = multiprocessing.get_context("spawn").Queue()
    together = [kind(target=use, args=(url, answers)) for _ in range(3)]
    for one in together:
        one.start()

    assert [answers.get(timeout=240) for _ in together] == [[]] * 3
    for one in together:
        one.join()


def test_a_migration_that_fails_leaves_nothing_half_done(url, monkeypatch):
    create = op.create_table

    def fail_at_users(name, *columns):
        if name == "users":
            raise RuntimeError("disk full")
        return create(name, *columns)

    database = Database(url)
    with monkeypatch.context() as patch:
        patch.setattr(op, "create_table", fail_at_users)
        with pytest.raises(RuntimeError), database.begin():
            pass
    with database.begin() as connection:
        assert connection.execute(select(metadata.tables["users"])).all() == []
    database.close()


def test_sqlite_lets_readers_go_on_while_one_writes(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/new/folder/history.db")
    with database.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    database.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://root:hush@host/name", "is of mysql; allowed are sqlite and postgresql"),
        ("not a url", "is no URL; allowed are sqlite"),
    ],
)
def test_other_databases_are_refused_without_telling_the_password(url, reason):
    with pytest.raises(DatabaseUrlError, match=reason) as refused:
        Database(url)
    assert "hush" not in str(refused.value)


def test_a_database_of_another_revision_counts_as_away_until_it_is_not(url):
    before = Database(url)
    with before.begin(write=True) as connection:
        (revision,) = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    database = Database(url)
    for _ in range(2):
        with pytest.raises(SQLAlchemyError, match=r"can not be brought to this version: .*v9999"), database.begin():
            pass
    with before.begin(write=True) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": revision})
    with database.begin() as connection:
        assert connection.execute(select(metadata.tables["users"])).all() == []
    database.close()
    before.close()
