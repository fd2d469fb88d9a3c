"""Where a run comes from: the commit, the DVC experiment, the process; and what became of runs whose process died."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types
from filelock import Timeout
from mlflow.exceptions import MlflowException

from pindet.tracking.pending import journal_lock
from pindet.tracking.store import Connection

logger = logging.getLogger(__name__)

_NO_CODE = (":!dvc.lock", ":!metrics.json", ":!reports", ":!models", ":!data", ":!params.yaml")
"""What stages write, and the parameters, which the run holds itself: `dvc exp run -S` changes them in every run."""
_CODE = ("conf", "pipelines", "requirements", "serve", "src")
_SAME_START = 2.0  # seconds; the system's clock may be set while a process lives


def origin_tags(root: Path, stage_key: str) -> dict[str, str]:
    """Return the tags that lead from a run to its code, its experiment and its process.

    ``git.dirty`` tells whether anything but parameters and what stages write differs from the commit, or git does not
    know a file among the code: whether the commit's code is the run's. A folder without git has no ``git`` tags, a run
    outside ``dvc exp`` no ``dvc.exp``.
    """
    tags = {"dvc.stage_key": stage_key, **process_tags()}
    commit = _git(root, "rev-parse", "HEAD")
    if commit:
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *_NO_CODE)
        changed = changed or _git(root, "status", "--porcelain", "--", *_CODE)
        tags |= {"git.commit": commit, "git.dirty": str(bool(changed)).lower(), "mlflow.source.git.commit": commit}
    for tag, variable in (("dvc.exp", "DVC_EXP_NAME"), ("dvc.exp_baseline", "DVC_EXP_BASELINE_REV")):
        if os.environ.get(variable):
            tags[tag] = os.environ[variable]
    return tags


def process_tags() -> dict[str, str]:
    """Return the tags that name this process among all that its host ever has."""
    own = psutil.Process()
    return {
        "pindet.host": socket.gethostname(),
        "pindet.pid": str(own.pid),
        "pindet.process_started": f"{own.create_time():.2f}",
    }


def close_abandoned(connection: Connection, continued: str | None) -> list[str]:
    """Mark runs as KILLED that are RUNNING without their process, and return their ids.

    A process of this host is looked for by its number. One of another host (a container's name is another each time) is
    gone where the run's journal is in this project and nobody holds its lock; of a run of another project nothing is
    known.

    Args:
        connection: the store and experiment to look through.
        continued: a run that this process resumes, which stays.
    """
    closed = []
    for run in connection.client.search_runs([connection.experiment_id], "attributes.status = 'RUNNING'"):
        here = run.data.tags.get("pindet.host") == socket.gethostname()
        journal = connection.store.journals / f"{run.info.run_id}.jsonl"
        is_gone = not _is_alive(run.data.tags) if here else _is_left(journal)
        if run.info.run_id != continued and is_gone:
            try:
                connection.client.set_terminated(run.info.run_id, "KILLED")
            except MlflowException as error:
                logger.warning("run %s was killed, but can not be marked so: %s", run.info.run_id, error)
                continue
            logger.info("run %s was killed: its process is gone; marked KILLED", run.info.run_id)
            closed.append(run.info.run_id)
    return closed


def _is_left(journal: Path) -> bool:
    """Whether a process wrote the journal of a run and holds it no more."""
    if not journal.is_file():
        return False
    try:
        with journal_lock(journal).acquire(timeout=0):
            return True
    except Timeout:
        return False


def _is_alive(tags: dict[str, str]) -> bool:
    try:
        process = psutil.Process(int(tags["pindet.pid"]))
        started = float(tags["pindet.process_started"])
        return bool(process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < _SAME_START)
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return False


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
