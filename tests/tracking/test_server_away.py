"""A training with a real MLflow server: there, gone in the middle, hung, and back again."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pindet.digests import dvc_md5
from pindet.tracking import run as run_module
from pindet.tracking.pending import send_pending
from pindet.tracking.results import log_evaluation, log_export
from pindet.tracking.run import training_run
from pindet.tracking.settings import TrackingSettings
from pindet.tracking.store import TrackingError

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)

Fit = Callable[..., list[dict[str, float | None]]]
Runs = Callable[[str], list[Run]]


def arguments(project: Path) -> dict[str, Any]:
    return {"stage_key": "the key", "dataset": project / "data" / "prepared", "resume": project / ".pindet" / "resume"}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    (folder / "gallery").mkdir(parents=True)
    (folder / "report.html").write_text("<html></html>")
    (folder / "gallery" / "1.jpg").write_bytes(b"jpg")
    return folder


def new_weights(project: Path) -> Path:
    weights = project / "weights"
    weights.write_text(str(time.time_ns()))
    return weights


def test_evaluation_and_export_complete_the_run_of_their_weights(
    server: Any, project: Path, settings: TrackingSettings, fit: Fit, runs: Runs, report: Path
) -> None:
    with training_run(settings, project, {"seed": 1}, **arguments(project)) as run:
        fit(run.callbacks)
        run.trained(new_weights(project))
    md5 = dvc_md5(project / "weights")

    log_evaluation(settings, project, md5, {"test/map": 0.5, "test/map/a&b": 0.25, "test/none": float("nan")}, report)
    log_export(settings, project, md5, "beef.dir", {"map_difference": 0.001}, {"p50_ms": {"1": 12.0}})

    found = runs(server.uri)[0]
    assert (found.info.run_id, found.info.status) == (run.id, "FINISHED")
    metrics = {key: value for key, value in found.data.metrics.items() if key.startswith(("test", "export"))}
    assert metrics == {
        "test/map": 0.5,
        "test/map/a_b-ec40161c": 0.25,
        "export/parity/map_difference": 0.001,
        "export/latency/p50_ms/1": 12.0,
    }
    assert found.data.tags["pindet.bundle_md5"] == "beef.dir"
    client = MlflowClient(server.uri)
    assert [file.path for file in client.list_artifacts(found.info.run_id, "evaluate")] == [
        "evaluate/gallery",
        "evaluate/report.html",
    ]
    assert list((project / ".pindet" / "tracking").iterdir()) == []


def test_weights_that_no_run_trained_are_only_warned_about(
    server: Any,
    project: Path,
    settings: TrackingSettings,
    runs: Runs,
    report: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = len(runs(server.uri))
    log_evaluation(settings, project, "0" * 32, {"test/map": 0.5}, report)
    assert "no run has trained the weights 0000" in caplog.text
    assert len(runs(server.uri)) == before
    assert list((project / ".pindet" / "tracking").iterdir()) == []


def test_a_server_killed_in_the_middle_costs_nothing(
    server: Any,
    project: Path,
    settings: TrackingSettings,
    fit: Fit,
    runs: Runs,
    report: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def kill_after_the_first(epoch: int) -> None:
        if epoch == 1:
            server.kill()

    begin = time.monotonic()
    with training_run(settings, project, {"seed": 2}, **arguments(project)) as run:
        fit(run.callbacks, epochs=4, after_epoch=kill_after_the_first)
        run.trained(new_weights(project))
    log_evaluation(settings, project, dvc_md5(project / "weights"), {"test/map": 0.5}, report)
    assert time.monotonic() - begin < 30
    assert f"MLFLOW_TRACKING_URI={server.uri} pindet track send" in caplog.text

    with pytest.raises(TrackingError, match="connection refused"):
        send_pending(project)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    [first, _] = send_pending(project).left.values()
    assert first == f"it belongs to {server.uri}; set MLFLOW_TRACKING_URI to that"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.start()
    result = send_pending(project)
    assert (len(result.sent), result.left) == (2, {})
    found = next(found for found in runs(server.uri) if found.info.run_id == run.id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["test/map"] == 0.5
    history = MlflowClient(server.uri).get_metric_history(run.id, "train/loss")
    assert [metric.step for metric in history] == [0, 1, 2, 3]
    assert list((project / ".pindet" / "tracking").iterdir()) == []


def test_a_server_that_hangs_does_not_hold_up_the_epochs(
    server: Any,
    project: Path,
    settings: TrackingSettings,
    fit: Fit,
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It hangs for four epochs, and is back when the training ends."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    caplog.set_level(logging.INFO)
    times: list[float] = []

    def hang(epoch: int) -> None:
        times.append(time.monotonic())
        if epoch == 0:
            server.signal(signal.SIGSTOP)

    back = threading.Timer(6.0, lambda: server.signal(signal.SIGCONT))
    with training_run(settings, project, {"seed": 3}, **arguments(project)) as run:
        back.start()
        fit(run.callbacks, epochs=5, after_epoch=hang)
    back.join()
    assert times[-1] - times[0] < 1.5
    assert "the tracking store is back" in caplog.text
    history = MlflowClient(server.uri).get_metric_history(run.id, "train/loss")
    assert [metric.step for metric in history] == [0, 1, 2, 3, 4]
    assert next(found for found in runs(server.uri) if found.info.run_id == run.id).info.status == "FINISHED"
    assert run_module.SEND_WITHIN <= 20


def test_a_host_name_that_the_server_does_not_allow_is_named(
    server: Any, project: Path, settings: TrackingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", _always_loopback)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://mlflow.example.org:{server.port}")
    with (
        pytest.raises(TrackingError, match="--allowed-hosts"),
        training_run(settings, project, {}, **arguments(project)),
    ):
        pytest.fail("the training has started")


def _always_loopback(host: object, port: int, *_: object, **__: object) -> list[Any]:
    import socket

    del host
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
