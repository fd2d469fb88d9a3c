"""Where runs go, from wherever a stage runs, and the store made ready."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pindet.project import main_root
from pindet.tracking.store import TrackingError, connect, find_store, migrate

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)

DVC_YAML = """
stages:
  train:
    cmd: {python} {child} . .pindet/resume
    params: [seed]
    outs: [weights]
"""


def test_a_copy_for_an_experiment_belongs_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1"
    copy.mkdir(parents=True)
    assert main_root(copy) == tmp_path
    assert main_root(tmp_path) == tmp_path

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert main_root(copy) == tmp_path
    assert main_root(tmp_path.parent) == tmp_path.parent  # the variable of a pipeline that started this one


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (None, "sqlite:///{root}/mlflow.db"),
        ("sqlite:///runs/all.db", "sqlite:///{root}/runs/all.db"),
        ("sqlite:////srv/all.db", "sqlite:////srv/all.db"),
        ("runs", "file://{root}/runs"),
        ("http://tracking:5000", "http://tracking:5000"),
    ],
)
def test_addresses_are_absolute(
    tmp_path: Path, address: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmp1"
    assert find_store(copy).uri == expected.format(root=tmp_path)


def test_credentials_leave_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:p%40ss@tracking/ml")
    assert find_store(tmp_path).uri == find_store(tmp_path).shown == "https://tracking/ml"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("me", "p@ss")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pass@database/runs")
    assert find_store(tmp_path).shown == "postgresql://database/runs"


def test_a_store_whose_making_was_interrupted_is_made_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = find_store(project)
    file = store.sqlite_file
    assert file is not None
    file.unlink()

    def full(_: int) -> None:
        assert file.stat().st_size == 0, "a half of it has taken its place"
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("pindet.tracking.store.os.fsync", full)
        with pytest.raises(TrackingError, match="no space left on device"):
            connect(store, "pindet")
    file.with_name("mlflow.db.part").write_bytes(b"half")
    connection = connect(store, "pindet")
    assert connection.client.get_experiment(connection.experiment_id).artifact_location.startswith(
        (project / "mlruns").as_uri()
    )
    assert not file.with_name("mlflow.db.part").exists()
    with closing(sqlite3.connect(file)) as made:
        assert made.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_old_store_is_migrated_and_its_copy_kept(project: Path) -> None:
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    (project / "mlflow.db").unlink()
    store = find_store(project)
    engine = utils.create_sqlalchemy_engine(store.uri)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config = utils._get_alembic_config(store.uri)
        config.attributes["connection"] = connection
        command.upgrade(config, "acf3f17fdcc7")
    engine.dispose()

    with closing(sqlite3.connect(project / "mlflow.db")) as old:
        old.execute("insert into experiments (experiment_id, name, lifecycle_stage) values (7, 'pindet', 'active')")
        old.commit()
    assert connect(store, "pindet").experiment_id == "7"
    assert (project / "mlflow.db.bak").exists()
    (project / "mlflow.db.bak").unlink()
    migrate(store)
    assert not (project / "mlflow.db.bak").exists()


@pytest.mark.parametrize("breakage", ["no database", "deleted experiment"])
def test_a_store_that_can_not_be_used_says_why(project: Path, breakage: str) -> None:
    store = find_store(project)
    if breakage == "no database":
        (project / "mlflow.db").unlink()
        (project / "mlflow.db").mkdir()
        message = "unable to open database file.*move it away.*tracking.required=false"
    else:
        connection = connect(store, "pindet")
        connection.client.delete_experiment(connection.experiment_id)
        message = "experiment 'pindet' was deleted; restore it"
    with pytest.raises(TrackingError, match=f"(?s){message}"):
        connect(store, "pindet")


def test_the_environment_may_name_the_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "production_detection")
    connection = connect(find_store(project), "pindet")
    experiment = connection.client.get_experiment(connection.experiment_id)
    assert experiment.name == "production_detection"
    assert experiment.artifact_location == f"{(project / 'mlruns').as_uri()}"


def test_a_temporary_experiment_of_dvc_reaches_the_store_of_the_project(
    project: Path, runs: Callable[[str], list[Run]]
) -> None:
    child = Path(__file__).with_name("child.py")
    project = project.rename(project.with_name("my project"))  # DVC can not copy a project at a path beyond ASCII
    (project / ".gitignore").write_text("/mlflow.db*\n/mlruns/\n/.pindet/\n/weights\n")
    (project / "dvc.yaml").write_text(DVC_YAML.format(python=sys.executable, child=child))
    (project / "params.yaml").write_text("seed: 0\n")
    repository = Path(__file__).parents[2]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(repository / "src"), str(repository / "serve")]),
        "DVC_NO_ANALYTICS": "true",
        "OMP_NUM_THREADS": "1",
    }
    dvc = [sys.executable, "-m", "dvc"]
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*dvc, "init", "-q"], cwd=project, check=True, env=environment)
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "-m", "stages"], cwd=project, check=True)
    command = [*dvc, "exp", "run", "--temp", "--name", "brave-bolt", "-S", "seed=1"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = runs(find_store(project).uri)
    assert found.info.status == "FINISHED"
    assert found.data.tags["dvc.exp"] == found.info.run_name == "brave-bolt"
    assert len(found.data.tags["dvc.exp_baseline"]) == 40
    assert "pindet.weights_md5" in found.data.tags
    assert MlflowClient(find_store(project).uri).list_artifacts(found.info.run_id) == []
    assert found.info.artifact_uri.startswith((project / "mlruns").as_uri())
