"""Remove runs that were deleted long ago for good, with their artifacts: ``gc.py OLDER_THAN``, such as ``30d``."""

import os
import sys

from start import store_url

os.environ |= {
    "MLFLOW_TRACKING_USERNAME": os.environ["MLFLOW_AUTH_ADMIN_USERNAME"],
    "MLFLOW_TRACKING_PASSWORD": os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"],
    "MLFLOW_BACKEND_STORE_URI": store_url("postgresql+psycopg"),
    "MLFLOW_ARTIFACTS_DESTINATION": "/mlruns",
}
os.execvp("mlflow", ["mlflow", "gc", "--older-than", sys.argv[1], "--tracking-uri", "http://127.0.0.1:5000"])
