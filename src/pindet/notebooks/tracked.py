"""The project's tracked runs."""

from __future__ import annotations

from pindet.notebooks.opening import NotReadyError, Project, said_plainly
from pindet.tracking.reading import PastRun, read_runs
from pindet.tracking.store import TrackingError


def tracked_runs(project: Project, *curves: str, most: int = 20) -> list[PastRun]:
    """Return the newest runs of the project's MLflow experiment, with the curves that are named.

    Raises:
        NotReadyError: there are none, or they can not be read.
    """
    experiment = str(project.params["tracking"]["experiment"])
    with said_plainly(TrackingError):
        runs = read_runs(project.root, experiment, curves=curves, most=most)
    if not runs:
        raise NotReadyError(
            f"MLflow's experiment {experiment!r} has no run yet; run `make repro` (with tracking=mlflow, the default)."
        )
    return runs
