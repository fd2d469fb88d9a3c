"""Who a stage belongs to, and when it is on its own."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from pindet.lifeline import is_orphan, is_unbroken, line_to_dvc

STAGE = "import time; from pindet.lifeline import end_with_dvc; end_with_dvc(); print('on', flush=True); time.sleep(60)"


def environment(**more):
    paths = os.pathsep.join(path for path in sys.path if path)
    return {key: value for key, value in os.environ.items() if key != "DVC_STAGE"} | {"PYTHONPATH": paths} | more


def test_a_line_ends_at_the_first_that_was_not_told_the_stage():
    """What looks like `dvc` starts a shell that waits for its command."""
    code = "import os; from pindet.lifeline import line_to_dvc; print(*[p.pid for p in line_to_dvc()], os.getppid())"
    shell = ["sh", "-c", f"{sys.executable} -c '{code}'; true"]
    done = subprocess.run(shell, env=environment(DVC_STAGE="train"), capture_output=True, text=True, timeout=240)
    *line, parent = [int(pid) for pid in done.stdout.split()]
    assert len(line) == 3 and line[1] == parent and line[2] == os.getpid()


def test_who_has_lost_a_parent_is_told_apart():
    line = line_to_dvc()
    assert is_unbroken(line) and not is_orphan(line)
    assert not is_unbroken([line[0], psutil.Process(line[0].pid)])
    assert is_orphan([line[0], psutil.Process(1)]) == ("dvc" not in " ".join(psutil.Process(1).cmdline()))


@pytest.mark.parametrize(
    ("options", "forced"),
    [
        (["repro"], False),
        (["repro", "--force", "train"], True),
        (["repro", "-sf", "train"], True),
        (["exp", "run", "-S", "training.lr=0.1", "--name", "f"], False),
        (["exp", "run", "-f"], True),
        (["exp", "run", "-nfast"], False),
    ],
)
def test_a_run_by_force_is_told(options, forced):
    """The one in between stands for `dvc`."""
    asked = "from pindet.lifeline import is_forced; print(is_forced())"
    told = environment(DVC_STAGE="train")
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {asked!r}], env={told!r})"
    done = subprocess.run([sys.executable, "-c", starter, *options], env=environment(), capture_output=True, text=True)
    assert done.stdout.strip() == str(forced), done.stderr


def test_a_stage_ends_with_what_started_it():
    told = environment(DVC_STAGE="train")
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STAGE!r}], env={told!r})"
    command = [sys.executable, "-c", starter]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout.readline() == "on\n"
        (stage,) = psutil.Process(started.pid).children()
        started.kill()
    for _ in range(600):
        if not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    raise AssertionError("the stage lives on")
