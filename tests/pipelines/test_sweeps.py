"""A sweep by Optuna over real experiments of DVC: killed on the way, gone on with, its best kept as an experiment."""

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest
import yaml

pytest.importorskip("optuna", reason="the package optuna is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SWEEP = ["pindet", "sweep", "--name", "found", "+experiment=tiny", "training.epochs=2", "training.lr=log(1e-3,1e-2)"]


def experiments(project):
    """The experiments of a sweep that was kept: name, and what metrics.json of each says."""
    listed = project.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    commits = {line.split()[1].rpartition("/")[2]: line.split()[0] for line in listed}
    return {
        name: json.loads(project.run("git", "show", f"{commit}:metrics.json"))
        for name, commit in commits.items()
        if name.startswith("found-")
    }


def test_a_sweep_that_is_killed_goes_on_and_keeps_its_best(project):
    params, before = project.params, project.outs()
    kill_in_second_trial(project)
    assert set(experiments(project)) == {"found-0"}

    said = project.run(*SWEEP, "--trials=2")
    assert "trial 1 was interrupted; its parameters are tried again" in said
    tried = experiments(project)
    assert set(tried) == {"found-0", "found-2"}
    best = max(tried, key=lambda name: tried[name]["val/map"])
    assert f"best: {best}, val/map {tried[best]['val/map']:.5g}" in said
    assert (project.params, project.outs()) == (params, before), "a sweep leaves the project as it is"

    kept = yaml.safe_load((project.root / "conf/experiment/found.yaml").read_text(encoding="utf-8"))
    assert kept["training"]["epochs"] == 2
    assert 1e-3 <= kept["training"]["lr"] <= 1e-2
    project.run(*SWEEP, "--trials=2")
    assert set(experiments(project)) == set(tried), "there was nothing more to do"

    project.dvc("exp", "apply", best)
    assert json.loads((project.root / "metrics.json").read_text("utf-8"))["val/map"] == tried[best]["val/map"]
    assert project.params["training"]["lr"] == kept["training"]["lr"]


def kill_in_second_trial(project):
    path = project.root.parent / "said"
    with path.open("w") as said:
        sweep = subprocess.Popen(
            [*SWEEP, "--trials=3"], cwd=project.root, env=project.environment, start_new_session=True,
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 600
            while "Running stage 'train'" not in path.read_text("utf-8").partition("trial 1, finished 1 of 3: ")[2]:
                assert sweep.poll() is None and time.monotonic() < deadline, path.read_text("utf-8")
                time.sleep(0.2)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(sweep.pid, signal.SIGKILL)
            sweep.wait(60)
