"""The commands, as the command line runs them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pindet.tracking.commands import send_command, ui_command
from pindet.tracking.journal import Journal
from pindet.tracking.results import log_evaluation
from pindet.tracking.settings import TrackingSettings
from pindet.tracking.store import connect, find_store

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def app(project: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.chdir(project)
    app = typer.Typer()
    app.command("send")(send_command)
    app.command("ui")(ui_command)
    return app


def test_send_says_what_it_sent_and_what_it_kept(app: typer.Typer, project: Path) -> None:
    assert CliRunner().invoke(app, ["send"]).output == "nothing to send\n"

    store = find_store(project)
    connection = connect(store, "pindet")
    run_id = connection.client.create_run(connection.experiment_id).info.run_id
    header = {"store": store.shown, "experiment": "pindet"}
    mine = Journal(store.journals / f"{run_id}.jsonl", {**header, "run_id": run_id})
    mine.append("metrics", rows=[{"values": {"val/map": 0.5}, "step": 0, "timestamp": 1}])
    mine.append("params", values={"x": "1"})
    mine.append("metrics", rows=[{"values": {"refused for good: a&b": 1.0}, "step": 0, "timestamp": 1}])
    mine.append("tags", values={"pindet.weights_md5": "abc"})
    later = Journal(store.journals / "evaluate-abc-1.jsonl", {**header, "weights_md5": "abc"})
    later.append("metrics", rows=[{"values": {"test/map": 0.25}, "step": 0, "timestamp": 1}])
    elsewhere = {**header, "store": "http://elsewhere", "weights_md5": "abc"}
    other = Journal(store.journals / "export-abc-1.jsonl", elsewhere)
    other.append("tags", values={"pindet.bundle_md5": "x"})

    result = CliRunner().invoke(app, ["send"])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"sent {run_id}.jsonl",
        "sent evaluate-abc-1.jsonl",
        "kept export-abc-1.jsonl: it belongs to http://elsewhere; set MLFLOW_TRACKING_URI to that",
    ]
    assert connection.client.get_run(run_id).data.metrics == {"val/map": 0.5, "test/map": 0.25}
    assert [path.name for path in store.journals.glob("*.jsonl")] == ["export-abc-1.jsonl"]


def test_results_wait_for_the_training_that_has_not_arrived(
    app: typer.Typer, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server came back between the end of the training, which it missed, and the evaluation."""
    store = find_store(project)
    connection = connect(store, "pindet")
    run_id = connection.client.create_run(connection.experiment_id).info.run_id
    header = {"store": store.shown, "experiment": "pindet", "run_id": run_id}
    Journal(store.journals / f"{run_id}.jsonl", header).append("tags", values={"pindet.weights_md5": "abc"})

    settings = TrackingSettings(enabled=True, required=True, experiment="pindet")
    report = project / "data" / "prepared"
    log_evaluation(settings, project, "abc", {"test/map": 0.25}, report)
    assert "its training has not arrived there itself yet" in caplog.text
    assert "Send it later with: pindet track send" in caplog.text

    result = CliRunner().invoke(app, ["send"])
    assert (result.exit_code, len(result.output.splitlines())) == (0, 2)
    assert connection.client.get_run(run_id).data.metrics == {"test/map": 0.25}


def test_ui_names_a_port_in_use_and_a_server_elsewhere(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["ui", "--port", str(port)])
    assert result.exit_code == 1
    assert f"port {port} is in use" in result.output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracking:5000")
    assert CliRunner().invoke(app, ["ui"]).output == "MLFLOW_TRACKING_URI is set: the runs are at http://tracking:5000\n"


def test_ui_serves_the_store_of_the_project(project: Path) -> None:
    connection = connect(find_store(project), "pindet")
    run_id = connection.client.create_run(connection.experiment_id).info.run_id
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from pindet.tracking.commands import ui_command; ui_command(port={port})"
    source = Path(__file__).parents[2] / "src"
    environment = os.environ | {"PYTHONPATH": str(source), "NO_PROXY": "*"}
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=project,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert "mlflow.db" in server.stdout.readline()
        page = f"/#/experiments/{connection.experiment_id}/runs?workflowType=machine_learning"
        assert server.stdout.readline() == f"http://127.0.0.1:{port}{page}\n"
        answer = _get(f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/get?run_id={run_id}", server)
        assert f'"run_id": "{run_id}"' in answer
        assert "<html" in _get(f"http://127.0.0.1:{port}/", server)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


def _get(address: str, server: subprocess.Popen[str]) -> str:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            assert server.poll() is None and time.monotonic() < until
            time.sleep(0.2)
