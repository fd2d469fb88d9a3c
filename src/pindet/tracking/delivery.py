"""From a journal into MLflow. Sending an entry twice leaves what sending it once does."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

from pindet.tracking.journal import Entry

logger = logging.getLogger(__name__)

_REFUSED = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST"})
"""Answers that will be the same the next time."""


class Delivery:
    """Sends the entries of one run.

    Args:
        client: of the store that has the run.
        run_id: the run.
        resumed: the run was begun by an earlier process: epochs that are repeated and parameters that it has keep
            their first value.
    """

    def __init__(self, client: MlflowClient, run_id: str, *, resumed: bool) -> None:
        self._client = client
        self._run_id = run_id
        self._resumed = resumed
        self._known_steps: dict[str, set[int]] = {}

    def send(self, entry: Entry) -> None:
        """Send an entry; what the store refuses for good is named in the log and passed over.

        Raises:
            MlflowException: the store can not take it at the moment.
            OSError: the same, of a store of files.
        """
        try:
            _SEND[entry["kind"]](self, entry)
        except MlflowException as error:
            if error.error_code not in _REFUSED:
                raise
            logger.warning("the tracking store refuses %s of run %s: %s", entry["kind"], self._run_id, error)
        except FileNotFoundError as error:
            logger.warning("%s is gone and missing in run %s", error.filename, self._run_id)

    def _params(self, entry: Entry) -> None:
        known = self._client.get_run(self._run_id).data.params if self._resumed else {}
        params = [
            Param(key, value[:MAX_PARAM_VAL_LENGTH]) for key, value in entry["values"].items() if key not in known
        ]
        for start in range(0, len(params), MAX_PARAMS_TAGS_PER_BATCH):
            self._client.log_batch(self._run_id, params=params[start : start + MAX_PARAMS_TAGS_PER_BATCH])

    def _tags(self, entry: Entry) -> None:
        self._client.log_batch(self._run_id, tags=[RunTag(key, value) for key, value in entry["values"].items()])

    def _metrics(self, entry: Entry) -> None:
        metrics = [
            Metric(key, value, row["timestamp"], row["step"])
            for row in entry["rows"]
            for key, value in row["values"].items()
            if not self._resumed or row["step"] not in self._steps_of(key)
        ]
        for start in range(0, len(metrics), MAX_METRICS_PER_BATCH):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + MAX_METRICS_PER_BATCH])

    def _steps_of(self, key: str) -> set[int]:
        if key not in self._known_steps:
            history = self._client.get_metric_history(self._run_id, key)
            self._known_steps[key] = {metric.step for metric in history}
        return self._known_steps[key]

    def _dataset(self, entry: Entry) -> None:
        source = json.dumps({"uri": entry["uri"]})
        dataset = Dataset(entry["name"], entry["digest"], source_type="local", source=source)
        context = InputTag("mlflow.data.context", entry["context"])
        self._client.log_inputs(self._run_id, [DatasetInput(dataset, [context])])

    def _files(self, entry: Entry) -> None:
        folder = Path(entry["folder"])
        if not folder.is_dir():
            raise FileNotFoundError(2, "no such folder", str(folder))
        self._client.log_artifacts(self._run_id, str(folder), entry["artifact_path"])

    def _end(self, entry: Entry) -> None:
        self._client.set_terminated(self._run_id, entry["status"], entry["timestamp"])


_SEND: Mapping[str, Any] = {
    "params": Delivery._params,
    "tags": Delivery._tags,
    "metrics": Delivery._metrics,
    "dataset": Delivery._dataset,
    "files": Delivery._files,
    "end": Delivery._end,
}
