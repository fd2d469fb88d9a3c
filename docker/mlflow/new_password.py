"""Give MLflow's administrator another password, asked for twice; ``MLFLOW_ADMIN_PASSWORD`` has to follow.

    scripts/deployment/compose exec mlflow python /opt/mlflow/stack/new_password.py

MLflow reads that setting only when it makes the administrator, and agent and trainings sign in with it.
"""

from __future__ import annotations

import getpass
import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

SHORTEST = 12
OWN = "http://127.0.0.1:5000"


def main() -> None:
    """Ask, and tell MLflow."""
    name, present = os.environ["MLFLOW_AUTH_ADMIN_USERNAME"], os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    new = getpass.getpass(f"New password of {name}: ")
    if len(new) < SHORTEST:
        sys.exit(f"the password has {len(new)} characters; MLflow wants {SHORTEST}, the preflight 32")
    if new != getpass.getpass("The same again: "):
        sys.exit("the two differ; nothing was changed")
    os.environ |= {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": present}
    try:
        AuthServiceClient(sys.argv[1] if len(sys.argv) > 1 else OWN).update_user_password(name, new, present)
    except MlflowException as error:
        sys.exit(f"MLflow refuses: {error}")
    sys.stdout.write(f"{name} has it; set MLFLOW_ADMIN_PASSWORD to it in .env.prod, and start\n")


if __name__ == "__main__":
    main()
