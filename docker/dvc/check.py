"""Check MLflow and DVC from inside the release agent's container; one line a check, exits with 1 if any fails.

What is written is removed again: a run of the experiment ``stack_check``, an object in the DVC remote.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

EXPERIMENT = "stack_check"
AGENT_PATIENCE_S = 90.0


def mlflow_sign_in() -> str:
    """Nobody gets in without a password."""
    address = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return "asked for"
        raise
    raise RuntimeError("MLflow answers without a sign-in")


def mlflow_run() -> str:
    """A run with a parameter, a metric and an artifact, written and read."""
    client = MlflowClient()
    found = client.get_experiment_by_name(EXPERIMENT)
    run = client.create_run(found.experiment_id if found else client.create_experiment(EXPERIMENT))
    id, word = run.info.run_id, secrets.token_hex(8)
    try:
        client.log_param(id, "word", word)
        client.log_metric(id, "value", 0.5)
        client.log_text(id, word, "word.txt")
        client.set_terminated(id)
        with tempfile.TemporaryDirectory() as folder:
            text = Path(client.download_artifacts(id, "word.txt", folder)).read_text("utf-8")
        data = client.get_run(id).data
        if (data.params["word"], data.metrics["value"], text) != (word, 0.5, word):
            raise RuntimeError(f"run {id} is read as {data.params}, {data.metrics}, {text!r}")
    finally:
        client.delete_run(id)
    return f"run {id[:8]} with parameter, metric and artifact"


def experiment() -> str:
    """The experiment of production is there; it is made at the first check."""
    name = os.environ["MLFLOW_EXPERIMENT_NAME"]
    client = MlflowClient()
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name)
    return name


def dvc_push_and_pull() -> str:
    """An object of a small project of its own, pushed to the remote, removed here, and pulled again."""
    with tempfile.TemporaryDirectory() as folder:
        root, word = Path(folder), secrets.token_hex(16)

        def dvc(*arguments: str) -> None:
            done = subprocess.run(["dvc", *arguments], cwd=root, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"dvc {arguments[0]}: {(done.stderr or done.stdout).strip()[-300:]}")

        dvc("init", "--quiet", "--no-scm")
        dvc("remote", "add", "--quiet", "--default", "production", os.environ["DVC_REMOTE_URL"])
        (root / "word.txt").write_text(word, encoding="utf-8")
        dvc("add", "--quiet", "word.txt")
        dvc("push", "--quiet")
        (root / "word.txt").unlink()
        subprocess.run(["rm", "-rf", str(root / ".dvc" / "cache")], check=True)
        dvc("pull", "--quiet")
        if (root / "word.txt").read_text("utf-8") != word:
            raise RuntimeError("what was pulled is not what was pushed")
        _forget(root)
    return os.environ["DVC_REMOTE_URL"]


def _forget(root: Path) -> None:
    """Remove the object from a remote on disk; elsewhere `cleanup` finds it, as nothing refers to it."""
    md5 = next(line.split()[-1] for line in (root / "word.txt.dvc").read_text().splitlines() if "md5: " in line)
    path = Path(os.environ["DVC_REMOTE_URL"]) / "files" / "md5" / md5[:2] / md5[2:]
    path.unlink(missing_ok=True)


def agent() -> str:
    """A round of the release agent without problems; its first may have been while MLflow was still starting."""
    until = time.monotonic() + AGENT_PATIENCE_S
    while True:
        state = json.loads(Path(os.environ.get("AGENT_STATE", "/tmp/agent.json")).read_text("utf-8"))
        if not state["problems"]:
            break
        if time.monotonic() > until:
            raise RuntimeError("; ".join(state["problems"]))
        time.sleep(2)
    return f"{state['objects']} released objects intact; {state['releases']}"


def main() -> int:
    """Run every check, whatever the ones before said."""
    failed = 0
    checks: list[Callable[[], str]] = [mlflow_sign_in, mlflow_run, experiment, dvc_push_and_pull, agent]
    for check in checks:
        name = check.__name__.replace("_", "-")
        try:
            sys.stdout.write(f"pass  {name}: {check()}\n")
        except Exception as error:  # whatever it is, it is told, and the next check is made
            failed += 1
            sys.stdout.write(f"FAIL  {name}: {error}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ |= {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    sys.exit(main())
