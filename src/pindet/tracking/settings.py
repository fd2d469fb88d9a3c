"""What ``conf/tracking`` configures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """Whether and under which name trainings are tracked.

    The address of the store and its credentials are no settings: they come from the environment
    (``MLFLOW_TRACKING_URI``, ``MLFLOW_TRACKING_USERNAME``, …), so that neither ``params.yaml`` nor ``dvc.lock`` holds
    them. Without an address, runs go to the SQLite file ``mlflow.db`` of the project.

    Args:
        enabled: track at all.
        required: an unreachable store stops a training before it starts; otherwise the training goes on untracked.
        experiment: the MLflow experiment; ``MLFLOW_EXPERIMENT_NAME`` takes its place where it is set.
    """

    enabled: bool
    required: bool
    experiment: str

    def __post_init__(self) -> None:
        if not self.experiment.strip():
            raise ValueError("tracking.experiment is empty; give the MLflow experiment a name")
