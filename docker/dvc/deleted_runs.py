"""How many runs are deleted in MLflow, and not yet removed for good."""

import sys

from mlflow import MlflowClient
from mlflow.entities import ViewType

client = MlflowClient()
experiments = [item.experiment_id for item in client.search_experiments(view_type=ViewType.ALL)]
found, page = 0, None
while experiments:
    runs = client.search_runs(experiments, run_view_type=ViewType.DELETED_ONLY, max_results=1000, page_token=page)
    found, page = found + len(runs), runs.token
    if not page:
        break
sys.stdout.write(f"{found}\n")
