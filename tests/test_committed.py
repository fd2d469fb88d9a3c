"""What is committed of the last run: the metrics, and the lock that says what they are of."""

import json
from pathlib import Path

import yaml

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
