"""The pipeline is killed at twenty moments and runs into a full disk; what it makes in the end is what it always makes.

It takes a quarter of an hour: `make test-interrupted` runs it.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest

pytestmark = [
    pytest.mark.skipif(not os.environ.get("PINDET_TEST_INTERRUPTED"), reason="slow: make test-interrupted runs it"),
    pytest.mark.timeout(3600),
]

KILLS = 20
VICTIMS = ("group", "dvc", "stage")
OVERRIDES = ["+experiment=tiny", "seed=5", "training.epochs=12"]
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def undisturbed(finished, tmp_path_factory):
    """The md5 of all outs of a run that nobody disturbed, how long it took, and a project that is yet to make them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    fresh, whole = (copy(finished, folder / name) for name in ("fresh", "whole"))
    for project in (fresh, whole):
        project.run("pindet", "params", *OVERRIDES)
    began = time.monotonic()
    whole.dvc("repro")
    return whole.outs(), time.monotonic() - began, fresh


def copy(project, folder):
    shutil.copytree(project.root, folder, symlinks=True)
    return type(project)(folder, folder.parent)


def test_a_run_that_is_killed_again_and_again_makes_the_same(undisturbed, tmp_path):
    expected, seconds, fresh = undisturbed
    chance = random.Random(0)
    attempt, project = 0, copy(fresh, tmp_path / "0")
    killed = epochs = 0
    while killed < KILLS:
        victim = VICTIMS[killed % len(VICTIMS)]
        project.run("pindet", "unlock")  # as the guide says, for a DVC that was killed while it wrote its list
        said = run_and_kill(project, victim, chance.uniform(0, seconds), tmp_path / "said")
        went_on = re.search(r"going on after epoch (\d+)", said)
        trained = [int(number) for number in re.findall(r"^epoch (\d+) of", said, re.MULTILINE)]
        if went_on:
            assert int(went_on.group(1)) >= epochs, said
        elif trained:
            assert epochs == 0, f"{epochs} epochs lay ready and were trained again: {said}"
        if said.endswith("ENDED"):
            assert project.outs() == expected
            attempt, epochs = attempt + 1, 0
            project = copy(fresh, tmp_path / str(attempt))
            continue
        killed, epochs = killed + 1, epochs_kept(project)
        if trained and "weights.safetensors" not in (project.root / "dvc.lock").read_text("utf-8"):
            assert epochs >= trained[-1] - 1, f"more than an epoch was lost: {said}"
    project.run("pindet", "unlock")
    project.dvc("repro")
    assert project.outs() == expected
    assert not list(project.root.glob("**/.tmp-*"))


def run_and_kill(project, victim, after, log):
    """Run the pipeline for some seconds, kill, and wait until nothing of it is left; what it said."""
    with log.open("w") as output:
        started = subprocess.Popen(
            ["dvc", "repro"], cwd=project.root, env=project.environment, start_new_session=True,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status = started.wait(after)
        except subprocess.TimeoutExpired:
            kill(started, victim)
            started.wait(60)
            wait_for_the_end(started.pid)
            return log.read_text("utf-8")
    assert status == 0, log.read_text("utf-8")
    return f"{log.read_text('utf-8')}ENDED"


def kill(started, victim):
    if victim == "group":
        os.killpg(started.pid, signal.SIGKILL)
    elif victim == "dvc":
        started.kill()
    else:  # dvc itself then says that the stage failed
        stages = [one for one in psutil.Process(started.pid).children(recursive=True) if "pipelines." in name_of(one)]
        for stage in stages or [started]:
            stage.kill()


def name_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_for_the_end(session):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if not any(session_of(process) == session for process in psutil.process_iter(["status"])):
            return
        time.sleep(0.1)
    pytest.fail("something of a killed run lives on after a minute")


def session_of(process):
    try:
        return None if process.info["status"] == psutil.STATUS_ZOMBIE else os.getsid(process.pid)
    except ProcessLookupError:
        return None


def epochs_kept(project):
    """How many epochs lie ready for the next run."""
    kept = [re.search(r"epoch-(\d+)", path.name) for path in project.root.glob(".pindet/resume/*/epoch-*.ckpt")]
    return max((1 + int(found.group(1)) for found in kept if found), default=0)


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 2 GiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system takes an administrator")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_ends_a_run_that_goes_on_when_there_is_room(undisturbed, disk):
    expected, _, fresh = undisturbed
    project = copy(fresh, disk / "project")
    failed = 0
    for megabytes in (0.2, 2, 8, 20, 40, 80):
        room = shutil.disk_usage(disk).free - int(megabytes * MEGABYTE)
        (disk / "ballast").write_bytes(bytes(max(room, 0)))
        done = subprocess.run(
            ["dvc", "repro"], cwd=project.root, env=project.environment | {"TMPDIR": str(disk)}, text=True, timeout=900,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        (disk / "ballast").unlink()
        failed += done.returncode != 0
        if not done.returncode:
            break
        assert re.search(r"No space left|disk is full|disk I/O error", done.stdout), done.stdout
    assert failed >= 3
    project.dvc("repro")
    assert project.outs() == expected
