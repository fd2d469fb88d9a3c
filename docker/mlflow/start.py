"""Become the MLflow server, once its database answers. Addresses and passwords go through the environment and a file
in memory: command lines can be read by every user of the host."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psycopg

AUTH_CONFIG = Path("/tmp/basic_auth.ini")
PATIENCE_S = 120.0


def wait_for_database(url: str) -> None:
    """Return when the database takes connections.

    Raises:
        TimeoutError: it does not within two minutes; the message says why.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise TimeoutError(f"the database does not answer: {error}") from error
            time.sleep(2)


def store_url(scheme: str) -> str:
    """The address of MLflow's database."""
    user, password = os.environ["MLFLOW_DB_USER"], os.environ["MLFLOW_DB_PASSWORD"]
    return f"{scheme}://{user}:{password}@{os.environ.get('MLFLOW_DB_HOST', 'database:5432')}/mlflow"


def write_auth_config(sqlalchemy_url: str) -> None:
    """Sign-in: who may read by default, and where users are kept. The first administrator comes by environment."""
    AUTH_CONFIG.touch(mode=0o600)
    AUTH_CONFIG.write_text(
        "[mlflow]\n"
        f"default_permission = {os.environ.get('MLFLOW_DEFAULT_PERMISSION', 'READ')}\n"
        f"database_uri = {sqlalchemy_url}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n",
        encoding="utf-8",
    )


def main() -> None:
    """Prepare, and become the server."""
    try:
        wait_for_database(store_url("postgresql"))
    except TimeoutError as error:
        sys.exit(f"mlflow: {error}")
    store = store_url("postgresql+psycopg")
    write_auth_config(store)
    os.environ |= {
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_ARTIFACTS_DESTINATION": os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "/mlruns"),
        "MLFLOW_AUTH_CONFIG_PATH": str(AUTH_CONFIG),
        # It runs nothing for others; its runner would cost 2 GB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    extra = os.environ.get("MLFLOW_ALLOWED_HOSTS", "")
    hosts = ["mlflow", "mlflow:*", "localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", *filter(None, [extra])]
    command = ["mlflow", "server", "--app-name", "basic-auth", "--host", "0.0.0.0", "--port", "5000"]
    command += ["--workers", "1", "--serve-artifacts", "--allowed-hosts", ",".join(hosts)]
    os.execvp("mlflow", command)


if __name__ == "__main__":
    main()
