"""One MLflow run per trained model."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from pindet.digests import dvc_md5
from pindet.files import write_text
from pindet.tracking.journal import Journal, Sender
from pindet.tracking.pending import SEND_WITHIN, journal_lock, say_kept
from pindet.tracking.settings import TrackingSettings
from pindet.tracking.store import Connection, TrackingError, connect, find_store, reason
from pindet.tracking.values import flat_metrics, flat_params

if TYPE_CHECKING:
    import lightning

logger = logging.getLogger(__name__)

RUN_FILE = "mlflow_run_id"
_NEVER = sys.maxsize


class TrainingRun:
    """What a training tells. Nothing here waits for the store or raises for it; untracked, nothing happens at all.

    Attributes:
        id: MLflow's id of the run; None: untracked.
    """

    def __init__(self, run_id: str | None = None, journal: Journal | None = None, sender: Sender | None = None) -> None:
        self.id = run_id
        self._journal = journal
        self._sender = sender

    @property
    def callbacks(self) -> list[lightning.Callback]:
        """For the trainer of a module with a ``history``, see :class:`pindet.tracking.curves.Curves`."""
        if self._journal is None:
            return []
        from pindet.tracking.curves import Curves

        return [Curves(self.log_history)]

    def log_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows of a history: ``epoch``, counted from 0, and metrics; undefined ones are left out."""
        for row in rows:
            values = flat_metrics({key: value for key, value in row.items() if key != "epoch"})
            if values:
                told = {"values": values, "step": int(row["epoch"]), "timestamp": _now()}
                self._tell("metrics", rows=[told])

    def log_progress(self, report: Mapping[str, Any]) -> None:
        """Add the speed of an epoch, and the time left, at its end; no results: no history has them.

        See :mod:`pindet.training.progress`.
        """
        if report["epochs_done"] == report["epoch"]:
            values = flat_metrics({f"train/{name}": report[name] for name in ("images_per_second", "seconds_left")})
            self._tell("metrics", rows=[{"values": values, "step": report["epoch"] - 1, "timestamp": _now()}])

    def log_files(self, source: Path, artifact_path: str) -> None:
        """Add a file, or a folder's content, as artifacts below ``artifact_path``."""
        if self._journal and self._sender:
            self._journal.append_files(source, artifact_path)
            self._sender.wake()

    def trained(self, weights: Path, **facts: str) -> None:
        """Tag the run with the weights that came of it, by which evaluation and export find it, and how they did."""
        if self._journal:
            named = {f"pindet.{name}": fact for name, fact in facts.items()}
            self._tell("tags", values={"pindet.weights_md5": dvc_md5(weights)} | named)

    def _tell(self, kind: str, **fields: Any) -> None:
        if self._journal and self._sender:
            self._journal.append(kind, **fields)
            self._sender.wake()


@contextmanager
def training_run(
    settings: TrackingSettings,
    root: Path,
    params: Mapping[str, Any],
    *,
    stage_key: str,
    dataset: Path,
    resume: Path,
) -> Iterator[TrainingRun]:
    """Track the training of one model, in a new run or, if ``resume`` names one, in that of a killed training.

    The run is FINISHED, FAILED or (interrupted) KILLED when the block ends. Only rank 0 tracks. A store that goes
    away meanwhile holds nothing up: what it misses is sent at the end, or kept with a command that sends it.

    Args:
        settings: whether and how.
        root: the folder of ``dvc.yaml``.
        params: all parameters, nested by group.
        stage_key: see :func:`pindet.digests.stage_key`.
        dataset: the prepared data; its digest is DVC's md5.
        resume: the folder of the training's resume state, made if need be; the file ``mlflow_run_id`` in it names
            the run as long as the folder is there.

    Raises:
        TrackingError: the store can not be used, and ``settings.required``.
    """
    if not settings.enabled or rank() != 0:
        yield TrainingRun()
        return
    store = find_store(root)
    try:
        connection = connect(store, settings.experiment)
        opened = _Opened(connection, settings, root, stage_key, resume)
    except TrackingError as error:
        if settings.required:
            raise
        logger.warning("%s (going on untracked)", error)
        yield TrainingRun()
        return
    status = "FAILED"
    try:
        opened.describe(params, dataset)
        with _autolog(connection, opened.run_id):
            yield opened.run
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        opened.close(status)


class _Opened:
    """A run in progress: its journal, and the thread that sends it."""

    def __init__(
        self, connection: Connection, settings: TrackingSettings, root: Path, stage_key: str, resume: Path
    ) -> None:
        from mlflow.exceptions import MlflowException

        self._connection = connection
        self._header = {"store": connection.store.shown, "experiment": settings.experiment}
        self._file = resume / RUN_FILE
        try:
            self.run_id, self._resumed = self._open(root, stage_key)
        except MlflowException as error:
            raise TrackingError(f"{connection.store.shown}: {reason(error, connection.store)}") from error
        path = connection.store.journals / f"{self.run_id}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = journal_lock(path)
        try:
            self._lock.acquire(timeout=30)
        except Timeout as error:
            raise TrackingError(f"another process is sending {path}; wait for it, then start again") from error
        self._write_run_file()
        self._start_sending(path)

    def describe(self, params: Mapping[str, Any], dataset: Path) -> None:
        """Tell what the training starts from."""
        name = dataset.as_posix() if not dataset.is_absolute() else dataset.name
        self._journal.append("params", values=flat_params(params))
        self._journal.append("dataset", name=name, digest=dvc_md5(dataset), uri=name, context="training")
        self._sender.wake()

    def close(self, status: str) -> None:
        """End the run, and send what is left or keep it."""
        self._journal.append("end", status=status, timestamp=_now())
        if self._sender.finish(SEND_WITHIN):
            self._journal.remove()
            self._lock.release()
            self._journal.path.with_suffix(".lock").unlink(missing_ok=True)
        else:
            error = self._sender.last_error
            why = reason(error, self._connection.store) if error else "no answer in time"
            say_kept(self._journal, self._connection.store, why)
            self._lock.release()

    def _open(self, root: Path, stage_key: str) -> tuple[str, bool]:
        from pindet.tracking.origin import close_abandoned, origin_tags, process_tags

        client = self._connection.client
        continued = self._continued()
        close_abandoned(self._connection, continued)
        if continued:
            for key, value in process_tags().items():
                client.set_tag(continued, key, value)
            client.update_run(continued, status="RUNNING")
            logger.info("tracking goes on in run %s of %s", continued, self._connection.store.shown)
            return continued, True
        tags = origin_tags(root, stage_key)
        run = client.create_run(self._connection.experiment_id, tags=tags, run_name=tags.get("dvc.exp"))
        logger.info("tracking in run %s of %s", run.info.run_id, self._connection.store.shown)
        return str(run.info.run_id), False

    def _continued(self) -> str | None:
        """Return the run that the resume folder names, if the store has it."""
        from mlflow.exceptions import MlflowException

        if not self._file.is_file():
            return None
        try:
            named = json.loads(self._file.read_text("utf-8"))
            run = self._connection.client.get_run(named["run_id"])
        except (ValueError, KeyError):
            return None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        in_place = run.info.lifecycle_stage == "active" and run.info.experiment_id == self._connection.experiment_id
        return str(run.info.run_id) if in_place and named["store"] == self._connection.store.shown else None

    def _write_run_file(self) -> None:
        write_text(self._file, json.dumps({"run_id": self.run_id, "store": self._connection.store.shown}))

    def _start_sending(self, path: Path) -> None:
        from pindet.tracking.delivery import Delivery

        self._journal = Journal(path, {**self._header, "run_id": self.run_id})
        delivery = Delivery(self._connection.client, self.run_id, resumed=self._resumed)
        self._sender = Sender(self._journal, delivery.send)
        self.run = TrainingRun(self.run_id, self._journal, self._sender)


@contextmanager
def _autolog(connection: Connection, run_id: str) -> Iterator[None]:
    """Let MLflow add what it knows of Lightning (optimizer, early stopping, model summary) to the run.

    Its own curves are off, see :class:`pindet.tracking.curves.Curves`; what else it can not send, it only warns of.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(connection.store.uri)
    try:
        try:
            mlflow.start_run(run_id=run_id)
            mlflow.pytorch.autolog(log_models=False, checkpoint=False, log_every_n_epoch=_NEVER, silent=True)
        except MlflowException as error:
            logger.warning("MLflow's autologging is off: %s", reason(error, connection.store))
        yield
    finally:
        mlflow.pytorch.autolog(disable=True)
        _forget_active_run()
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: none was set


def _forget_active_run() -> None:
    """Take the run off MLflow's stack; the journal, not this call, tells the store how it ended."""
    import mlflow
    from mlflow.exceptions import MlflowException

    kept = {name: os.environ[name] for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")}
    os.environ.update(MLFLOW_HTTP_REQUEST_TIMEOUT="2", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    try:
        mlflow.end_run("RUNNING")
    except MlflowException as error:
        logger.debug("the run is off the stack, but the store does not know: %s", error)
    finally:
        os.environ.update(kept)


def rank() -> int:
    """Which of the processes of a training this one is."""
    from lightning.pytorch.utilities import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0) or 0)


def _now() -> int:
    """Milliseconds, as MLflow has them."""
    return int(time.time() * 1000)
