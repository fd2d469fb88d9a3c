"""The commands about tracked runs, for the command line to register."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from pindet.tracking.pending import send_pending
from pindet.tracking.store import Store, TrackingError, find_store, migrate

LOOPBACK = "127.0.0.1"


def send_command() -> None:
    """Send what an MLflow server missed while it was away."""
    try:
        result = send_pending(Path.cwd())
    except TrackingError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    for name in result.sent:
        typer.echo(f"sent {name}")
    for name, why in result.left.items():
        typer.echo(f"kept {name}: {why}", err=True)
    if not result.sent and not result.left:
        typer.echo("nothing to send")
    if result.left:
        raise typer.Exit(1)


def ui_command(
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 5000,
) -> None:
    """Show the project's runs in the browser, on this machine only, until Ctrl-C."""
    store = find_store(Path.cwd())
    if store.sqlite_file is None:
        typer.echo(f"MLFLOW_TRACKING_URI is set: the runs are at {store.shown}")
        return
    if not _is_free(port):
        typer.echo(f"Error: port {port} is in use; choose another, as in `pindet ui --port {port + 1}`", err=True)
        raise typer.Exit(1)
    migrate(store)
    typer.echo(f"MLflow with the runs of {store.shown}, until Ctrl-C:")
    typer.echo(f"http://{LOOPBACK}:{port}{_runs_page(store)}")
    sys.stdout.flush()
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.setdefault("PYTHONWARNINGS", "ignore")  # MLflow's own, of what it imports
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK]
    command += ["--backend-store-uri", store.uri, "--registry-store-uri", store.uri]
    command += ["--default-artifact-root", str(store.artifact_location), "--port", str(port), "--workers", "1"]
    os.execve(sys.executable, command, environment)


def _runs_page(store: Store) -> str:
    """The path of the page that compares runs: MLflow itself opens on one for language models."""
    from mlflow import MlflowClient

    tracked = [found for found in MlflowClient(store.uri).search_experiments() if found.name != "Default"]
    if len(tracked) != 1:
        return "/#/experiments"
    return f"/#/experiments/{tracked[0].experiment_id}/runs?workflowType=machine_learning"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
