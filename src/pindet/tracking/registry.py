"""MLflow's model registry: versions that point to what DVC keeps, and the aliases that name them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pindet.tracking.store import ANSWER_WITHIN, Store, TrackingError, _within, find_store, migrate, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

_VERSION_TAG, _BUNDLE_TAG = "pindet.version", "pindet.bundle_md5"
_ALIAS = re.compile(r"[A-Za-z0-9_-]+")
_T = TypeVar("_T")


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow knows of a training.

    Attributes:
        run_id: of the run.
        name: of the run.
        experiment: its experiment's name.
        tags: all of its tags.
        params: its parameters, ``training.lr`` and so on, as text.
        metrics: the last value of each of its metrics.
        status: ``RUNNING``, ``FINISHED``, ``FAILED``, …
    """

    run_id: str
    name: str
    experiment: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    status: str = ""


class ModelRegistry:
    """The registry of the store that the project tracks to.

    Args:
        root: the project.

    Raises:
        TrackingError: the store can not be reached.
    """

    def __init__(self, root: Path) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        self._store: Store = find_store(root)
        self._client: MlflowClient = self._asked(self._open)

    @property
    def address(self) -> str:
        """The store, without credentials."""
        return self._store.shown

    def find_run(self, bundle_md5: str, weights_md5: str = "") -> TrackedRun | None:
        """The newest run whose bundle, else whose weights, have this md5; ``None`` if the store has none."""
        for tag, md5 in ((_BUNDLE_TAG, bundle_md5), ("pindet.weights_md5", weights_md5)):
            if md5 and (found := self._asked(lambda tag=tag, md5=md5: self._search(tag, md5))):  # type: ignore[misc]
                return found
        return None

    def newest_run(self, experiment: str) -> TrackedRun | None:
        """The training that began last, whatever became of it.

        Args:
            experiment: that is looked through; empty for all.
        """
        return self._asked(lambda: self._newest("", experiment))

    def version_of(self, model: str, version: str, bundle_md5: str) -> str | None:
        """MLflow's number of a released version; ``None`` if it has none, or it was deleted.

        A version of the same name with another bundle is another project's, which shares the store.
        """
        found = self._asked(lambda: self._client.search_model_versions(f"name='{model}'"))
        wanted = {_VERSION_TAG: version, _BUNDLE_TAG: bundle_md5}
        numbers = [int(each.version) for each in found if wanted.items() <= each.tags.items()]
        return str(min(numbers)) if numbers else None

    def source_of(self, model: str, number: str) -> str:
        """Where a model version says that its files are."""
        return str(self._asked(lambda: self._client.get_model_version(model, number)).source)

    def register(
        self, model: str, version: str, bundle_md5: str, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> str:
        """Register a released version, unless it is there; return MLflow's number of it.

        Args:
            bundle_md5: of its bundle.
            source: where its files are; MLflow copies nothing.
            run_id: of its training.
            tags: what else there is to say.
        """
        self._asked(lambda: self._create_model(model))
        known = self.version_of(model, version, bundle_md5)
        if known is not None:
            return known
        every = {**tags, _VERSION_TAG: version, _BUNDLE_TAG: bundle_md5}
        made = self._asked(
            lambda: self._client.create_model_version(
                model, source, run_id=run_id, tags=every, await_creation_for=0, description=f"{model} {version}"
            )
        )
        return str(made.version)

    def aliases(self, model: str) -> dict[str, str]:
        """MLflow's number of the version behind each alias."""
        from mlflow.exceptions import MlflowException

        def ask() -> dict[str, str]:
            try:
                found = self._client.get_registered_model(model).aliases
                return {alias: str(number) for alias, number in found.items()}  # SQLite gives numbers, a server texts
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}

        return self._asked(ask)

    def point(self, model: str, alias: str, number: str) -> None:
        """Let an alias name a version, whatever it named before."""
        self._asked(lambda: self._client.set_registered_model_alias(model, alias, number))

    def drop(self, model: str, alias: str) -> None:
        """Remove an alias; one that is not there is no error."""
        if alias in self.aliases(model):
            self._asked(lambda: self._client.delete_registered_model_alias(model, alias))

    def _open(self) -> MlflowClient:
        from mlflow import MlflowClient

        if self._store.sqlite_file:
            migrate(self._store)
            return MlflowClient(self._store.uri)

        def ask() -> MlflowClient:
            client = MlflowClient(self._store.uri)
            client.search_experiments(max_results=1)
            return client

        return _within(ANSWER_WITHIN, ask)

    def _search(self, tag: str, md5: str) -> TrackedRun | None:
        return self._newest(f"tags.`{tag}` = '{md5}'", "")

    def _newest(self, wanted: str, experiment: str) -> TrackedRun | None:
        experiments = {e.experiment_id: str(e.name) for e in self._client.search_experiments()}
        among = [number for number, name in experiments.items() if experiment in ("", name)]
        if not among:
            return None
        runs = self._client.search_runs(among, wanted, max_results=1, order_by=["attributes.start_time DESC"])
        if not runs:
            return None
        info, data = runs[0].info, runs[0].data
        return TrackedRun(
            str(info.run_id), str(info.run_name or ""), experiments[info.experiment_id],
            dict(data.tags), dict(data.params), dict(data.metrics), str(info.status),
        )  # fmt: skip

    def _create_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(model, description="Released by pindet; the files are kept by DVC.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _asked(self, ask: Callable[[], _T]) -> _T:
        import sqlite3

        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except (MlflowException, OSError, ValueError, sqlite3.Error) as error:
            remedy = "make that file usable" if self._store.sqlite_file else "start that server"
            raise TrackingError(
                f"the model registry of {self._store.shown} can not be used: {reason(error, self._store)}; {remedy}, "
                "or go on without it (--no-mlflow)"
            ) from error


def check_alias(alias: str) -> None:
    """Refuse a name that MLflow does not take as an alias.

    Raises:
        ValueError: letters that it does not take, or a name that it reserves.
    """
    if not _ALIAS.fullmatch(alias):
        raise ValueError(f"the alias {alias!r} is not allowed by MLflow: letters, digits, - and _ are")
    if alias.lower() == "latest" or re.fullmatch(r"[vV][0-9]+", alias):
        raise ValueError(f"the alias {alias!r} is reserved by MLflow (latest, v1, v2, …); give the stage another one")


def registry_source(key: str) -> str:
    """How a model version names an object that DVC keeps, by its path in the remote."""
    return f"dvc://{key}"


def run_summary(run: TrackedRun | None, address: str) -> dict[str, Any]:
    """What a release says of its training."""
    return (
        {}
        if run is None
        else {"run_id": run.run_id, "run_name": run.name, "experiment": run.experiment, "store": address}
    )
