import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from pindet.summary import NothingToSummarizeError, show_summary


def pindet(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", "from pindet.cli import main; main()", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_command_starts_without_what_it_may_not_need():
    heavy = ["torch", "mlflow", "lightning", "dvc", "cv2", "onnxruntime", "matplotlib"]
    code = f"import sys, pindet.cli; loaded = [m for m in {heavy} if m in sys.modules]; sys.exit(loaded or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["params"], "config.yaml is missing"),
        (["params", "--check", "--save", "x"], "exclude one another"),
        (["summary"], "metrics.json is missing: the pipeline has not run to its end; run `make repro`"),
    ],
)
def test_an_error_is_one_line_and_not_a_traceback(tmp_path, arguments, said):
    done = pindet(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_summary_shows_each_class_and_a_dash_for_what_is_undefined(tmp_path):
    (tmp_path / "models/bundle").mkdir(parents=True)
    (tmp_path / "models/bundle/manifest.json").write_text(json.dumps({"classes": ["nut", "人"]}), encoding="utf-8")
    metrics = {"test/map": 0.5, "test/map_50": 0.75, "test/map/nut": 0.5, "test/map_50/nut": 0.75}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    console = Console(record=True, width=100, file=io.StringIO())
    show_summary(console, tmp_path)
    text = console.export_text()
    assert [line.split() for line in text.splitlines() if "人" in line] == [["│", "人", "│", "–", "│", "–", "│"]]
    assert "0.500" in text
    assert "reports/evaluate/report.html" in text
    assert text.count("pindet predict") + text.count("make ui") + text.count("dvc exp run") == 3


def test_a_summary_of_nothing_says_what_to_run(tmp_path):
    with pytest.raises(NothingToSummarizeError, match="make repro"):
        show_summary(Console(), tmp_path)
