"""What is committed of the last run: the metrics, and the lock that says what they are of."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from pindet.digests import dvc_md5

ROOT = Path(__file__).parents[1]


def test_the_committed_run_found_most_parts():
    metrics = json.loads((ROOT / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test/map"] >= 0.70


def test_the_lock_holds_every_stage_and_what_it_depends_on():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        paths = {dep["path"] for dep in locked[name]["deps"]}
        assert paths == {dep.replace("${data.root}", "src/pindet/data/parts") for dep in stage["deps"]}, name


def test_the_lock_is_of_the_code_that_is_here():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this copy is no git repository")
    tracked = [Path(line) for line in listed.stdout.splitlines()]
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for name, stage in locked.items():
        for dep in stage["deps"]:
            path = Path(dep["path"])
            if any(path == one or path in one.parents for one in tracked) and "md5" in dep:
                assert dvc_md5(ROOT / path) == dep["md5"], f"{name}: {path} has changed; run `make repro`, then commit"
