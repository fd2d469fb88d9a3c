"""One run per trained model, with all that it carries."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pindet.digests import dvc_md5
from pindet.tracking.run import RUN_FILE, training_run
from pindet.tracking.settings import TrackingSettings
from pindet.tracking.store import ANSWER_WITHIN, TrackingError, find_store

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)

Fit = Callable[..., list[dict[str, float | None]]]
Runs = Callable[[str], list[Run]]
PARAMS = {"seed": 7, "model": {"_target_": "pindet.models.pindet.Pindet", "widths": [8, 16]}, "training": {"lr": 0.1}}


def arguments(project: Path, resume: str = "resume") -> dict[str, object]:
    return {"stage_key": "the key", "dataset": project / "data" / "prepared", "resume": project / ".pindet" / resume}


def sqlite(project: Path) -> str:
    return find_store(project).uri


def test_a_training_leaves_one_run_with_parameters_curves_data_and_origin(
    project: Path, settings: TrackingSettings, fit: Fit, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-bolt")
    weights = project / "weights"
    with training_run(settings, project, PARAMS, **arguments(project)) as run:
        history = fit(run.callbacks)
        for epoch, done, speed in ((1, 0, 9.0), (1, 1, 5.0), (2, 1, 9.0), (2, 2, 6.0)):  # within epochs, and their ends
            report = {"epoch": epoch, "epochs_done": done, "images_per_second": speed, "seconds_left": 60.0 - speed}
            run.log_progress(report)
        weights.write_bytes(b"weights")
        run.trained(weights, precision="fp32")

    [found] = runs(sqlite(project))
    data, client = found.data, MlflowClient(sqlite(project))
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "brave-bolt"
    assert data.params.items() >= {
        "seed": "7",
        "model._target_": "pindet.models.pindet.Pindet",
        "model.widths": "[8, 16]",
        "training.lr": "0.1",
        "optimizer_name": "SGD",  # what autologging adds
    }.items()
    histories = {key: client.get_metric_history(found.info.run_id, key) for key in data.metrics}
    curves = {key: [(metric.step, metric.value) for metric in history] for key, history in histories.items()}
    assert curves["train/loss"] == [(row["epoch"], row["train/loss"]) for row in history]
    assert curves["val/map"] == [(1, 0.25), (2, 0.5)]  # undefined in epoch 0
    assert len(history) == 3
    assert curves["train/images_per_second"] == [(0, 5.0), (1, 6.0)]
    assert curves["train/seconds_left"] == [(0, 55.0), (1, 54.0)]
    [data_set] = found.inputs.dataset_inputs
    assert data_set.dataset.digest == dvc_md5(project / "data" / "prepared")
    assert [artifact.path for artifact in client.list_artifacts(found.info.run_id)] == ["model_summary.txt"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True)
    assert data.tags.items() >= {
        "git.commit": head.stdout.strip(),
        "git.dirty": "false",
        "dvc.exp": "brave-bolt",
        "dvc.stage_key": "the key",
        "pindet.host": socket.gethostname(),
        "pindet.pid": str(os.getpid()),
        "pindet.weights_md5": dvc_md5(weights),
        "pindet.precision": "fp32",
    }.items()
    assert list((project / ".pindet" / "tracking").glob("*.jsonl")) == []
    assert mlflow.active_run() is None


def test_a_changed_file_makes_the_commit_dirty(project: Path, settings: TrackingSettings, runs: Runs) -> None:
    for written in ("params.yaml", "dvc.lock", "data/.gitignore", "reports/new"):
        (project / written).parent.mkdir(exist_ok=True)
        (project / written).write_text("another")
    with training_run(settings, project, {}, **arguments(project)):
        pass
    (project / ".gitignore").write_text("")
    with training_run(settings, project, {}, **arguments(project, "another")):
        pass
    assert sorted(run.data.tags["git.dirty"] for run in runs(sqlite(project))) == ["false", "true"]


def test_a_resumed_training_continues_its_run(
    project: Path, settings: TrackingSettings, fit: Fit, runs: Runs
) -> None:
    with pytest.raises(SystemExit), training_run(settings, project, PARAMS, **arguments(project)) as first:
        history = fit(first.callbacks, epochs=2)
        raise SystemExit(1)  # as Lightning does on Ctrl-C
    assert runs(sqlite(project))[0].info.status == "KILLED"

    changed = PARAMS | {"runtime": {"workers": 4}, "seed": 8}
    with training_run(settings, project, changed, **arguments(project)) as second:
        fit(second.callbacks, epochs=1, history=[*history[:1], {"epoch": 1, "train/loss": 7.0}])

    [found] = runs(sqlite(project))
    assert first.id == second.id == found.info.run_id
    assert found.info.status == "FINISHED"
    assert found.data.params.items() >= {"runtime.workers": "4", "seed": "7"}.items()
    curve = MlflowClient(sqlite(project)).get_metric_history(found.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in curve] == [(row["epoch"], row["train/loss"]) for row in history]

    with training_run(settings, project, PARAMS, **arguments(project)) as again:
        pass
    assert again.id == first.id  # the stage was killed before DVC had recorded its result
    (project / ".pindet" / "resume" / RUN_FILE).unlink()
    with training_run(settings, project, PARAMS, **arguments(project)):
        pass
    assert len(runs(sqlite(project))) == 2  # with the state of the first removed, this is another


def test_an_error_fails_the_run(project: Path, settings: TrackingSettings, runs: Runs) -> None:
    with pytest.raises(RuntimeError, match="boom"), training_run(settings, project, {}, **arguments(project)):
        raise RuntimeError("boom")
    assert runs(sqlite(project))[0].info.status == "FAILED"


def test_nothing_is_tracked_when_off_or_not_rank_0(
    project: Path, settings: TrackingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mlflow.db").unlink()
    off = TrackingSettings(enabled=False, required=True, experiment="pindet")
    with training_run(off, project, PARAMS, **arguments(project)) as run:
        run.log_history([{"epoch": 0, "val/map": 0.5}])
        run.trained(project / "no such file")
        assert run.callbacks == []
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_only.rank", 1)
    with training_run(settings, project, PARAMS, **arguments(project)) as run:
        assert run.id is None
    assert not (project / "mlflow.db").exists()


def test_two_processes_at_once_on_a_fresh_store(
    project: Path, runs: Runs, start_child: Callable[..., subprocess.Popen[str]]
) -> None:
    (project / "mlflow.db").unlink()
    children = [start_child(str(project / ".pindet" / f"resume-{number}")) for number in range(2)]
    for child in children:
        _, errors = child.communicate(timeout=240)
        assert child.returncode == 0, errors
    found = runs(sqlite(project))
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]
    assert all(run.data.metrics == {"val/map": 0.5} for run in found)


@pytest.mark.parametrize("host", [None, "of-a-container"])
def test_the_next_run_marks_a_killed_one(
    project: Path, settings: TrackingSettings, runs: Runs, start_child: Callable[..., subprocess.Popen[str]],
    host: str | None,
) -> None:  # fmt: skip
    resume = project / ".pindet" / "resume-of-the-child"
    child = start_child(str(resume), "wait")
    assert child.stdout is not None
    killed = child.stdout.readline().strip()
    if host:
        MlflowClient(sqlite(project)).set_tag(killed, "pindet.host", host)

    with training_run(settings, project, {}, **arguments(project)) as while_alive:
        pass
    status = {run.info.run_id: run.info.status for run in runs(sqlite(project))}
    assert status == {killed: "RUNNING", while_alive.id: "FINISHED"}

    child.send_signal(signal.SIGKILL)
    child.wait()
    with training_run(settings, project, {}, **arguments(project, "another")) as after:
        pass
    status = {run.info.run_id: run.info.status for run in runs(sqlite(project))}
    assert status == {killed: "KILLED", while_alive.id: "FINISHED", after.id: "FINISHED"}

    with training_run(settings, project, {}, **(arguments(project) | {"resume": resume})) as resumed:
        pass
    assert resumed.id == killed
    assert {run.info.status for run in runs(sqlite(project))} == {"FINISHED"}
    assert len(runs(sqlite(project))) == 3


@pytest.mark.parametrize("required", [True, False])
def test_a_server_that_is_not_there_is_noticed_before_the_training(
    project: Path, required: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:1")
    settings = TrackingSettings(enabled=True, required=required, experiment="pindet")
    begin = time.monotonic()
    if required:
        with pytest.raises(TrackingError) as raised, training_run(settings, project, {}, **arguments(project)):
            pytest.fail("the training has started")
        message = str(raised.value)
    else:
        with training_run(settings, project, {}, **arguments(project)) as run:
            assert run.id is None
        message = caplog.text
    assert time.monotonic() - begin < 10
    assert "http://127.0.0.1:1: connection refused" in message
    assert "unset MLFLOW_TRACKING_URI" in message
    assert "tracking.required=false" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("runs", r"MLflow keeps no runs in folders any more.*\. Name another store, unset MLFLOW_TRACKING_URI"),
        ("sqlite:////proc/nowhere/mine.db", r"\. Make that file usable or move it away, unset MLFLOW_TRACKING_URI"),
    ],
)
def test_a_store_that_can_not_be_used_is_named_with_what_to_do(
    project: Path, settings: TrackingSettings, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(TrackingError, match=said), training_run(settings, project, {}, **arguments(project)):
        pytest.fail("the training has started")


def test_a_server_that_accepts_and_says_nothing_is_noticed_in_time(
    project: Path, settings: TrackingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ANSWER_WITHIN <= 6
    monkeypatch.setattr("pindet.tracking.store.ANSWER_WITHIN", 2.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        with (
            pytest.raises(TrackingError, match="no answer in 2 s"),
            training_run(settings, project, {}, **arguments(project)),
        ):
            pytest.fail("the training has started")
    assert time.monotonic() - begin < 5


def test_importing_the_settings_is_cheap() -> None:
    code = "import sys, pindet.tracking.settings; sys.exit(bool({'mlflow', 'torch', 'lightning'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


def test_the_run_file_of_another_store_is_not_continued(
    project: Path, settings: TrackingSettings, runs: Runs
) -> None:
    file = project / ".pindet" / "resume" / RUN_FILE
    file.parent.mkdir(parents=True)
    for text in ("cut o", "{}", json.dumps({"run_id": "0" * 32, "store": "http://elsewhere"})):
        file.write_text(text)
        with training_run(settings, project, {}, **arguments(project)):
            pass
    assert len(runs(sqlite(project))) == 3
