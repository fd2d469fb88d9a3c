"""Where runs are stored, found without a look at any setting, and made ready before anything is written to it."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from filelock import FileLock, Timeout

from pindet.project import main_root

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_WITHIN = 6.0
"""Seconds that a server has for its first answer; with the import of MLflow a refusal takes less than ten."""

_REQUEST_TIMEOUT = "10"
_REQUEST_RETRIES = "1"
_MIGRATE_WITHIN = 300.0
_CREDENTIALS = re.compile(r"(?P<scheme>https?://)(?P<user>[^/:@]*):(?P<password>[^/@]*)@")
_T = TypeVar("_T")
_SQLITE = "sqlite:///"
_ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
_REASONS = (
    ("Invalid Host header", "it refuses the host name of this address (start it with --allowed-hosts naming the host)"),
    ("code 401", "it wants credentials (set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"),
    ("You are not authenticated", "it wants credentials (set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"),
    ("code 403", "it answers 403: these credentials, or this host name (--allowed-hosts), are not allowed"),
    ("maintenance mode", "MLflow keeps no runs in folders any more (sqlite:///path/to/file.db is a file for them)"),
    ("Connection refused", "connection refused"),
    ("NameResolutionError", "the host name is unknown"),
    ("timed out", "no answer in time"),
)


class TrackingError(ValueError):
    """The store of the runs can not be used; the message says what was tried and what to do."""


@dataclass(frozen=True)
class Store:
    """A store of runs.

    Args:
        uri: MLflow's address of it. It may hold a password: show :attr:`shown` instead.
        root: the project that the runs belong to; of a copy that DVC made for an experiment, the original.
    """

    uri: str
    root: Path

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return re.sub(r"(?<=://)[^/@]*@", "", self.uri)

    @property
    def sqlite_file(self) -> Path | None:
        return Path(self.uri.removeprefix(_SQLITE)) if self.uri.startswith(_SQLITE) else None

    @property
    def artifact_location(self) -> str | None:
        """Where artifacts go; None: the server knows."""
        return (self.root / "mlruns").as_uri() if self.sqlite_file else None

    @property
    def journals(self) -> Path:
        """The folder of what was not sent yet; it outlives the copies that DVC makes for experiments."""
        return self.root / ".pindet" / "tracking"


@dataclass(frozen=True)
class Connection:
    """A store that has answered."""

    store: Store
    client: MlflowClient
    experiment_id: str


def find_store(root: Path) -> Store:
    """Return the store of ``MLFLOW_TRACKING_URI``, else the SQLite file ``mlflow.db`` of the project.

    Relative addresses count from the project too: ``dvc exp run --temp`` and queue workers run in a copy of it that
    does not last. User and password of a server's address move to the variables that MLflow reads them from, so that
    none of its messages shows them.
    """
    project = main_root(root)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{project / 'mlflow.db'}"
    if credentials := _CREDENTIALS.match(uri):
        os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(credentials["user"]))
        os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(credentials["password"]))
        uri = credentials["scheme"] + uri[credentials.end() :]
    if uri.startswith(_SQLITE):
        uri = f"{_SQLITE}{project / uri.removeprefix(_SQLITE)}"
    elif ":" not in uri:
        uri = (project / uri).as_uri()
    return Store(uri, project)


def connect(store: Store, experiment: str) -> Connection:
    """Make the store ready and return it with the experiment, created if need be.

    A SQLite store is created or migrated first, by one process at a time; any other has :data:`ANSWER_WITHIN`
    seconds for an answer.

    Raises:
        TrackingError: the store can not be reached or used, or the experiment was deleted.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _REQUEST_TIMEOUT)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _REQUEST_RETRIES)
    with _not_collecting():
        from mlflow import MlflowClient  # slow to import: only for those who track
        from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or experiment
    try:
        if store.sqlite_file:
            migrate(store)
            client = MlflowClient(store.uri)
            return Connection(store, client, _experiment_id(client, store, name))
        return _within(ANSWER_WITHIN, lambda: _open_remote(store, name))
    except (MlflowException, OSError, ValueError, sqlite3.Error) as error:
        remedy = "Name another store," if store.uri.startswith("file:") else "Start that server,"
        if store.sqlite_file:
            remedy = "Make that file usable or move it away,"
        if os.environ.get("MLFLOW_TRACKING_URI"):
            remedy += " unset MLFLOW_TRACKING_URI to track into mlflow.db of this project,"
        raise TrackingError(
            f"runs can not be tracked in {store.shown}: {reason(error, store)}. {remedy} "
            "or set tracking.required=false to go on untracked"
        ) from error


def migrate(store: Store) -> None:
    """Create a SQLite store, or bring it to the schema of the installed MLflow after a copy to ``mlflow.db.bak``.

    Processes that start at the same time do it one after the other. What is created takes its place when it is whole.
    """
    with _not_collecting():
        from alembic.util.exc import CommandError
        from mlflow.store.db import utils
        from mlflow.store.tracking import sqlalchemy_store

    database: Any = utils  # untyped, like the store
    create_store: Any = sqlalchemy_store.SqlAlchemyStore
    file = store.sqlite_file
    assert file is not None
    store.journals.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{file}.lock", timeout=_MIGRATE_WITHIN):  # several projects may share the file
            _check_writable(file)
            if not file.stat().st_size:
                _create(store, file)
            engine = database.create_sqlalchemy_engine_with_retry(store.uri)
            version = database._get_schema_version(engine)
            if version is not None and version != database._get_latest_schema_revision():
                _back_up(file)
                database._upgrade_db(engine)
            engine.dispose()
            create_store(store.uri, store.artifact_location)
    except Timeout as error:
        raise TimeoutError(f"another process has been migrating it for {_MIGRATE_WITHIN:.0f} s") from error
    except CommandError as error:
        raise ValueError(f"its schema is not one that the installed MLflow knows ({error})") from error


def reason(error: BaseException, store: Store) -> str:
    """Say in a few words why the store did not do what it was asked, without its password."""
    if isinstance(error, TrackingError) and error.__cause__:
        error = error.__cause__
    text = str(error)
    for sign, words in _REASONS:
        if sign in text:
            return words
    return text.replace(store.uri, store.shown)[:300] or type(error).__name__


def _open_remote(store: Store, experiment: str) -> Connection:
    from mlflow import MlflowClient

    client = MlflowClient(store.uri)
    return Connection(store, client, _experiment_id(client, store, experiment))


def _experiment_id(client: MlflowClient, store: Store, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=store.artifact_location))
        except MlflowException as error:
            if error.error_code != _ALREADY_EXISTS:
                raise
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or experiment.lifecycle_stage != "active":
        raise ValueError(f"its experiment {name!r} was deleted; restore it or name another in tracking.experiment")
    return str(experiment.experiment_id)


def _within(seconds: float, ask: Callable[[], _T]) -> _T:
    """Return what ``ask`` returns, or stop waiting: no timeout of a request covers a slow name service."""
    values: list[_T] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            values.append(ask())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="tracking-preflight", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not values:
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    return values[0]


@contextmanager
def _not_collecting() -> Iterator[None]:
    """Look for no garbage in what is imported: it stays, and looking takes a fifth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _check_writable(file: Path) -> None:
    """Raise at once what MLflow would try again for minutes."""
    with closing(sqlite3.connect(file, timeout=20)) as probe:
        probe.execute("BEGIN IMMEDIATE")
        probe.execute("ROLLBACK")


def _create(store: Store, file: Path) -> None:
    """Make the tables beside the file, without waiting for the disk after each of MLflow's hundred steps."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    create: Any = SqlAlchemyStore  # untyped

    def do_not_wait(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")

    event.listen(Engine, "connect", do_not_wait)
    try:
        create(f"{_SQLITE}{part}", store.artifact_location).engine.dispose()
    finally:
        event.remove(Engine, "connect", do_not_wait)
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    if file.stat().st_size:  # MLflow itself was faster
        part.unlink()
    else:
        part.replace(file)


def _back_up(file: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(f"{file}.bak")) as target:
        source.backup(target)
