"""What deleted runs MLflow's bin has: ``deleted_runs.py [--restore]``, a line each.

Runs of registered versions belong to what was released. ``--restore`` takes them back out of the bin, as they would be
removed for good with the others.
"""

import sys

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, ViewType

client = MlflowClient()


def registered() -> set[str]:
    """The runs of all registered versions."""
    found: set[str] = set()
    page = None
    while True:
        versions = client.search_model_versions(max_results=1000, page_token=page)
        found |= {version.run_id for version in versions if version.run_id}
        page = versions.token
        if not page:
            return found


def deleted(experiment: Experiment) -> list[Run]:
    """The deleted runs of an experiment."""
    found: list[Run] = []
    page = None
    while True:
        runs = client.search_runs(
            [experiment.experiment_id], run_view_type=ViewType.DELETED_ONLY, max_results=1000, page_token=page
        )
        found += runs
        page = runs.token
        if not page:
            return found


def main(restore: bool) -> None:
    """List them, and restore what is registered."""
    kept = registered()
    for experiment in client.search_experiments(view_type=ViewType.ALL):
        runs = deleted(experiment)
        for run in runs:
            name = f"run {run.info.run_id} ({run.info.run_name})"
            if run.info.run_id not in kept:
                sys.stdout.write(f"MLflow: {name} is deleted\n")
                continue
            done = "restored" if restore else "would be restored"
            sys.stdout.write(f"MLflow: {name} is deleted and belongs to a registered version; it {done}\n")
            if restore and experiment.lifecycle_stage == "deleted":
                client.restore_experiment(experiment.experiment_id)  # with all its runs
                break
            if restore:
                client.restore_run(run.info.run_id)


if __name__ == "__main__":
    main("--restore" in sys.argv[1:])
