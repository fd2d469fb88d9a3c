"""Runs for those who only look: what is there is read, and nothing is written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from pindet.tracking.reading import read_runs
from pindet.tracking.store import TrackingError, connect, find_store

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


def track(client: MlflowClient, experiment: str, name: str, started: int, lr: str) -> None:
    run = client.create_run(experiment, run_name=name, start_time=started).info.run_id
    client.log_param(run, "training.lr", lr)
    client.log_param(run, "lr", lr)
    told = [(0, 3.0, 1), (1, 2.5, 2), (1, 2.0, 3)]  # an epoch that was told again after an interruption
    client.log_batch(run, [Metric("train/loss", value, at, step) for step, value, at in told])
    client.log_metric(run, "test/map", 0.5)
    client.set_terminated(run, "FINISHED")


def state(root: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")}


def test_the_newest_come_first_with_their_curves(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(find_store(project), "pindet")
    track(connection.client, connection.experiment_id, "older", 1000, "0.1")
    track(connection.client, connection.experiment_id, "newer", 2000, "0.2")
    before = state(project)
    monkeypatch.chdir(project)

    newer, older = read_runs(project, "pindet", curves=["train/loss", "val/map"])
    assert (newer.name, older.name) == ("newer", "older")
    assert (newer.status, newer.started.timestamp()) == ("FINISHED", 2.0)
    assert newer.settings == {"training.lr": "0.2"}
    assert newer.metrics["test/map"] == 0.5
    assert newer.curves == {"train/loss": [(0, 3.0), (1, 2.0)]}
    assert [run.name for run in read_runs(project, "pindet", most=1)] == ["newer"]
    assert read_runs(project, "another") == []
    assert state(project) == before


def test_a_store_of_a_newer_mlflow_is_said_to_be_one_and_stays_as_it_is(project: Path) -> None:
    connect(find_store(project), "pindet")
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'unknown'")
        database.commit()
    before = state(project)
    with pytest.raises(TrackingError, match="its schema is not one that the installed MLflow knows"):
        read_runs(project, "pindet")
    assert state(project) == before


def test_without_a_store_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"mlflow\.db is missing; run `make repro`"):
        read_runs(tmp_path, "pindet")
    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(TrackingError, match="make that file usable"):
        read_runs(tmp_path, "pindet")


def test_a_server_is_read_too_and_one_that_is_away_is_said(
    project: Path, server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server
    connection = connect(find_store(project), "read")
    track(connection.client, connection.experiment_id, "there", 1000, "0.1")
    assert [run.curves for run in read_runs(project, "read", curves=["train/loss"])] == [
        {"train/loss": [(0, 3.0), (1, 2.0)]}
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match="can not be read: connection refused; start that server"):
        read_runs(project, "read")
