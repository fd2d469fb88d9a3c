"""Sending what an unreachable store has missed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from pindet.tracking.journal import Journal, Sender
from pindet.tracking.store import Connection, Store, connect, find_store, reason

SEND_COMMAND = "pindet track send"
SEND_WITHIN = 20.0
"""Seconds that the end of a stage waits for a store to take what is left."""

logger = logging.getLogger(__name__)


@dataclass
class Sent:
    """What became of the journals, by file name."""

    sent: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    """Not sent, and why."""


def journal_lock(journal: Path) -> FileLock:
    """Return the lock of a journal: one process sends it."""
    return FileLock(journal.with_suffix(".lock"))


def send_pending(root: Path, seconds: float = 600.0) -> Sent:
    """Send the journals that earlier runs of this project left behind; those of a training in progress stay.

    Args:
        root: the project.
        seconds: how long one journal may take.

    Raises:
        TrackingError: the store can not be reached.
    """
    store = find_store(root)
    result = Sent()
    journals = sorted(store.journals.glob("*.jsonl"), key=lambda path: ("-" in path.stem, path.name))
    for path in journals:
        try:
            with journal_lock(path).acquire(timeout=0):
                problem = _send_journal(store, Journal(path), seconds)
        except Timeout:
            problem = "a running stage is sending it"
        if problem:
            result.left[path.name] = problem
        else:
            path.with_suffix(".lock").unlink(missing_ok=True)
            result.sent.append(path.name)
    return result


def find_run(connection: Connection, weights_md5: str, experiment_name: str | None = None) -> str | None:
    """Return the id of the newest run that trained these weights, of this DVC experiment if it is among them."""
    runs = connection.client.search_runs(
        [connection.experiment_id], f"tags.`pindet.weights_md5` = '{weights_md5}'", order_by=["start_time DESC"]
    )
    own = [run for run in runs if experiment_name and run.data.tags.get("dvc.exp") == experiment_name]
    chosen = (own or runs)[:1]
    return str(chosen[0].info.run_id) if chosen else None


def say_kept(journal: Journal, store: Store, why: str) -> None:
    """Log where the unsent part of a run is, and the command that sends it."""
    address = "" if store.sqlite_file else f"MLFLOW_TRACKING_URI={store.shown} "
    logger.warning(
        "%s has not received everything (%s); what it misses is kept in %s. Send it later with: %s%s",
        store.shown,
        why,
        journal.path,
        address,
        SEND_COMMAND,
    )


def _send_journal(store: Store, journal: Journal, seconds: float) -> str | None:
    """Send a journal and remove it, or return why that did not work."""
    header = journal.header
    if header["store"] != store.shown:
        return f"it belongs to {header['store']}; set MLFLOW_TRACKING_URI to that"
    connection = connect(store, header["experiment"])
    from pindet.tracking.delivery import Delivery  # it imports MLflow, which connecting has prepared

    run_id = header.get("run_id") or find_run(connection, header["weights_md5"], header.get("dvc_exp"))
    if run_id is None:
        if _is_told_later(store, header["weights_md5"]):
            return "its training has not arrived there itself yet"
        logger.warning("no run has trained the weights %s; %s is dropped", header["weights_md5"], journal.path.name)
        journal.remove()
        return None
    sender = Sender(journal, Delivery(connection.client, run_id, resumed=bool(header.get("run_id"))).send)
    if sender.finish(seconds):
        journal.remove()
        return None
    error = sender.last_error
    return reason(error, store) if error else f"no answer in {seconds:.0f} s"


def _is_told_later(store: Store, weights_md5: str) -> bool:
    """Whether an unsent journal of a training names these weights; only reads, for its writer may be at work."""
    trainings = [path for path in store.journals.glob("*.jsonl") if "-" not in path.stem]
    return any(weights_md5 in path.read_text("utf-8", errors="replace") for path in trainings)


def send_now(store: Store, journal: Journal) -> None:
    """Send a stage's journal if the store is there; otherwise keep it and say so. Never raises for the store."""
    try:
        with journal_lock(journal.path):
            problem = _send_journal(store, journal, SEND_WITHIN)
    except Exception as error:  # whatever a client of a remote store raises, the stage has its result
        problem = reason(error, store)
    if problem:
        say_kept(journal, store, problem)
    else:
        journal.path.with_suffix(".lock").unlink(missing_ok=True)
