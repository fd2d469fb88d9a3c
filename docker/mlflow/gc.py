"""Remove runs that were deleted long ago for good, with their artifacts: ``gc.py OLDER_THAN``, such as ``30d``."""

import os
import sys

from mlflow.cli import gc
from start import store_url

os.environ |= {
    "MLFLOW_TRACKING_USERNAME": os.environ["MLFLOW_AUTH_ADMIN_USERNAME"],
    "MLFLOW_TRACKING_PASSWORD": os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"],
}
# Called here, not as a command: its address holds a password, and command lines can be read by every user of the host.
gc.main(
    [
        "--older-than", sys.argv[1], "--backend-store-uri", store_url("postgresql+psycopg"),
        "--artifacts-destination", "/mlruns", "--tracking-uri", "http://127.0.0.1:5000",
    ],
    prog_name="mlflow gc",
)  # fmt: skip
