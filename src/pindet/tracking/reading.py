"""The runs of a project, for those who only look: neither the store nor the project is written to."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pindet.tracking.store import ANSWER_WITHIN, Store, TrackingError, _within, find_store, migrate, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

Curve = list[tuple[int, float]]
"""A metric over the epochs, counted from 0."""


@dataclass(frozen=True)
class PastRun:
    """What the store has of one training.

    Attributes:
        run_id: of the run.
        name: of the run; that of the DVC experiment where there was one.
        status: FINISHED, FAILED, KILLED or RUNNING.
        started: when it began (UTC).
        params: its parameters, ``training.lr`` and so on, as text.
        metrics: the last value of each of its metrics.
        curves: those metrics that were asked for, epoch by epoch.
    """

    run_id: str
    name: str
    status: str
    started: datetime
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Curve]

    @property
    def settings(self) -> dict[str, str]:
        """The parameters of ``params.yaml``, without those that MLflow adds of Lightning (``epochs``, ``lr``)."""
        return {key: value for key, value in self.params.items() if "." in key or key == "seed"}


def read_runs(root: Path, experiment: str, *, curves: Sequence[str] = (), most: int = 20) -> list[PastRun]:
    """Return the newest runs of an experiment, newest first.

    Of the project's SQLite file a copy is read: MLflow would bring the file itself to its own schema.

    Args:
        root: the project.
        experiment: the MLflow experiment; ``MLFLOW_EXPERIMENT_NAME`` takes its place where it is set.
        curves: metrics whose course is wanted.
        most: how many runs.

    Raises:
        TrackingError: there is no store, or it can not be read; the message says what to do.
    """
    with warnings.catch_warnings():
        # What MLflow imports would like to draw progress bars in notebooks, and there are none here.
        warnings.filterwarnings("ignore", "IProgress not found")
        from mlflow.exceptions import MlflowException

    store = find_store(root)
    if store.sqlite_file is not None and not store.sqlite_file.is_file():
        raise TrackingError(f"no training was tracked here yet: {store.sqlite_file.name} is missing; run `make repro`")
    try:
        with _client(store) as client:
            return _read(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or experiment, curves, most)
    except (MlflowException, OSError, ValueError, sqlite3.Error) as error:
        remedy = "make that file usable" if store.sqlite_file else "start that server, or unset MLFLOW_TRACKING_URI"
        raise TrackingError(f"the runs in {store.shown} can not be read: {reason(error, store)}; {remedy}") from error


@contextmanager
def _client(store: Store) -> Iterator[MlflowClient]:
    from mlflow import MlflowClient

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    if store.sqlite_file is None:
        client = MlflowClient(store.uri)
        _within(ANSWER_WITHIN, lambda: client.search_experiments(max_results=1))
        yield client
        return
    with tempfile.TemporaryDirectory(prefix="pindet-runs-") as folder:
        copy = Store(f"sqlite:///{folder}/mlflow.db", Path(folder))
        with (
            closing(sqlite3.connect(f"{store.sqlite_file.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(f"{folder}/mlflow.db")) as target,
        ):
            source.backup(target)
        migrate(copy)
        yield MlflowClient(copy.uri)


def _read(client: MlflowClient, experiment: str, curves: Sequence[str], most: int) -> list[PastRun]:
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = client.search_runs([found.experiment_id], max_results=most, order_by=["attributes.start_time DESC"])
    return [_past(client, run, curves) for run in runs]


def _past(client: MlflowClient, run: Any, curves: Sequence[str]) -> PastRun:
    wanted = [key for key in curves if key in run.data.metrics]
    return PastRun(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name or run.info.run_id[:8]),
        status=str(run.info.status),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        curves={key: _curve(client, run.info.run_id, key) for key in wanted},
    )


def _curve(client: MlflowClient, run_id: str, key: str) -> Curve:
    """A run that went on after an interruption may have told an epoch twice: the later word counts."""
    told = sorted(client.get_metric_history(run_id, key), key=lambda metric: metric.timestamp)
    return sorted({int(metric.step): float(metric.value) for metric in told}.items())
