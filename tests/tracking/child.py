"""Trains nothing, but tracks it: what the tests start as another process.

Usage: child.py ROOT RESUME [wait]. Logs one epoch, says so on stdout, and with ``wait`` stays until it is ended.
"""

import logging
import sys
import time
from pathlib import Path

from pindet.tracking.run import training_run
from pindet.tracking.settings import TrackingSettings

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
root, resume = Path(sys.argv[1]), Path(sys.argv[2])
settings = TrackingSettings(enabled=True, required=True, experiment="pindet")
prepared = root / "data" / "prepared"
with training_run(settings, root, {"seed": 0}, stage_key="key", dataset=prepared, resume=resume) as run:
    run.log_history([{"epoch": 0, "val/map": 0.5}])
    sys.stdout.write(f"{run.id}\n")
    sys.stdout.flush()
    if sys.argv[3:] == ["wait"]:
        time.sleep(300)
    weights = root / "weights"
    weights.write_text(str(time.time_ns()))
    run.trained(weights)
