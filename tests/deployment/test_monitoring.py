"""Alerts and dashboard: every figure that they ask for is one that something gives."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
MONITORING = PROJECT / "docker" / "monitoring"
GROUPS = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"]]
PANELS = json.loads((MONITORING / "dashboards" / "pindet.json").read_text())["panels"]
ASKED = [rule["expr"] for rule in ALERTS] + [target["expr"] for panel in PANELS for target in panel["targets"]]


def agent_figures():
    spec = importlib.util.spec_from_file_location("stack_figures", PROJECT / "docker" / "dvc" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.figures


STATE = {
    "ts": 5.0, "problems": ["x"], "damaged": [], "releases": {"production": {"version": "v1.0.0", "md5": 'a"a.dir'}},
}  # fmt: skip


def test_the_agent_tells_what_it_knows(tmp_path):
    text = agent_figures()(STATE, tmp_path)
    assert "pindet_agent_problems 1\n" in text and "pindet_released_damaged 0\n" in text
    assert 'pindet_released_info{stage="production",version="v1.0.0",md5="a\\"a.dir"} 1\n' in text


def test_every_figure_that_is_asked_for_is_given(tmp_path):
    served = "".join(path.read_text() for path in (PROJECT / "serve" / "pindet_serve").rglob("*.py"))
    given = set(re.findall(r'"(pindet_[a-z_]+)"', served))
    given |= {f"pindet_{name}_{what}" for name in ("bus", "history") for what in ("up", "dropped")}
    given |= set(re.findall(r"^(pindet_[a-z_]+)", agent_figures()(STATE, tmp_path), re.M))
    given |= set(re.findall(r"printf '(pindet_[a-z_]+)", (PROJECT / "scripts" / "operations" / "backup").read_text()))
    if "pindet_drift" not in given:
        pytest.skip("this server does not measure drift")
    asked = {name for text in ASKED for name in re.findall(r"pindet_[a-z_]+", text)}
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked} - given == set()


def test_alerts_are_those_of_the_guide():
    assert {rule["alert"] for rule in ALERTS} >= {
        "ApiDown", "ErrorRate", "Latency", "QueueFull", "BusLost", "Disk", "BackupAge", "ModelDiffersFromRelease",
        "Drift",
    }  # fmt: skip
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in ALERTS)


def test_every_alert_is_tested_to_come_and_to_stay_away():
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in ALERTS}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml"), ("check", "config", "prometheus.yml")],
    ids=["rules", "behaviour", "configuration"],
)
def test_promtool_takes_the_rules(arguments):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
