"""What a stage says while it works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


COLLECTING = """
import gc, pipelines
from pindet.stage import run_stage
before = gc.isenabled()
run_stage("train", lambda params: print(before, gc.isenabled(), gc.get_freeze_count() > 1000))
"""


@pytest.mark.parametrize(("by", "before"), [("-m", False), ("a worker", True)])
def test_garbage_is_collected_once_a_stage_has_imported_its_libraries(by, before):
    code = f"import sys; sys.argv[0] = {by!r}\n{COLLECTING}"
    paths = os.pathsep.join([str(ROOT), *(path for path in sys.path if path)])
    environment = os.environ | {"PYTHONPATH": paths}
    environment.pop("DVC_STAGE", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{before} True True\n", done.stderr


def test_lines_go_through_a_bar_that_has_taken_the_place_of_stderr():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment.pop("DVC_STAGE", None)
    done = subprocess.run(
        [sys.executable, "-c", BEHIND_A_BAR], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "epoch 1 of 3\n", done.stderr
