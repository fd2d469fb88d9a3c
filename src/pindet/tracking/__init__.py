"""MLflow, kept at arm's length: one run per trained model, and no training lost to a tracking server.

MLflow reads some switches while it is imported, so they are set here, before any module of this package imports it:
no telemetry (a factory has no network), no complaint about a missing git, and no lines on the standard output.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
