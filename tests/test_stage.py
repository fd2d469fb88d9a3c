"""What a stage says while it works."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEHIND_A_BAR = """
import io, logging, sys
from pindet.stage import run_stage

def work(params):
    before, sys.stderr = sys.stderr, io.StringIO()
    logging.getLogger("pindet.training").info("epoch 1 of 3")
    said, sys.stderr = sys.stderr.getvalue(), before
    print(said, end="")

run_stage("train", work)
"""


def test_lines_go_through_a_bar_that_has_taken_the_place_of_stderr():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("DVC_STAGE", None)
    done = subprocess.run(
        [sys.executable, "-c", BEHIND_A_BAR], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "epoch 1 of 3\n", done.stderr
