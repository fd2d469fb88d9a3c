"""The notebooks on a finished project: they show what the pipeline wrote, and leave everything as it is."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from pindet_serve.detector import Detector
from pindet_serve.golden import load_proven

from pindet.data.prepared import PreparedSplit

NAMES = {"hex_nut": "六角螺母", "washer": "$1 or $2"}
TRACK = """
import sys, time
from pathlib import Path
from mlflow import MlflowClient
from pindet.tracking.store import connect, find_store
connection = connect(find_store(Path(sys.argv[1])), "pindet")
client = connection.client
(past,) = client.search_runs([connection.experiment_id])
run = client.create_run(connection.experiment_id, run_name="brighter").info.run_id
for key, value in (past.data.params | {"training.lr": "0.02"}).items():
    client.log_param(run, key, value)
client.log_metric(run, "test/map", 0.4321)
client.log_metric(run, "test/map/washer", 0.4321)
client.set_terminated(run)
"""
SERVE = """
import os, signal
from pindet.notebooks.opening import open_project
from pindet.notebooks.served import open_server
print(open_server(open_project()).url, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def unchanged(project):
    """Hold that nothing in a project is written, made or removed; DVC's own locks are not looked at."""
    before = state(project)
    yield
    assert state(project) == before


def state(project):
    files = {
        path.relative_to(project.root).as_posix(): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in project.root.rglob("*")
        if project.root / ".dvc/tmp" not in (path, *path.parents)
    }
    return files, project.run("git", "--no-optional-locks", "status", "--porcelain")


def read(project, name):
    return json.loads((project.root / name).read_text(encoding="utf-8"))


def test_what_was_prepared_is_shown(finished, execute_notebook):
    with unchanged(finished):
        shown = execute_notebook("01_data", finished.root / "notebooks")
    assert not shown.error
    summary = read(finished, "reports/prepare/summary.json")
    for name in summary["classes"]:
        assert f"`{name}`" in shown.text
    assert f"<td>{summary['splits']['train']['boxes']}</td>" in shown.text
    assert "No item was rejected." in shown.text
    sheet = (finished.root / "reports/prepare/contact_sheet.jpg").read_bytes()
    assert len(shown.pictures) == 3 and sheet in shown.pictures


def test_runs_are_shown_with_what_differs_between_them(project, execute_notebook):
    project.run("python", "-c", TRACK, str(project.root))
    with unchanged(project):
        shown = execute_notebook("02_runs", project.root / "notebooks")
    assert not shown.error
    assert "Runs: 2; the newest is `brighter`" in shown.text
    metrics = rows(shown.text, "test/map_50")
    assert [cells[0] for cells in metrics] == ["brighter", metrics[1][0]]  # the best first
    assert metrics[0][2:4] == ["FINISHED", "0.432"]
    assert metrics[1][3] == f"{read(project, 'metrics.json')['test/map']:.3f}"
    differ = {cells[0]: cells[1:] for cells in rows(shown.text, "brighter")}
    assert differ["training.lr"] == ["0.02", str(project.params["training"]["lr"])]
    assert "training.epochs" not in differ
    assert len(shown.pictures) == 2


def test_mistakes_are_named_and_counted(project, execute_notebook):
    report = read(project, "reports/evaluate/per_image.json")
    mistaken(report["images"])
    rewrite(project.root / "reports/evaluate/per_image.json", json.dumps(report))
    first, second, third, _ = report["images"]
    doubtful = {
        "file_name": first["file_name"], "split": "test", "doubt": "class", "detected": "washer", "score": 0.9,
        "labelled": "bearing", "detected_box": first["truths"][0][:4], "labelled_box": first["truths"][0][:4],
    }  # fmt: skip
    rewrite(project.root / "reports/evaluate/suspects.json", json.dumps([doubtful]))
    with unchanged(project):
        shown = execute_notebook("03_errors", project.root / "notebooks")
    assert not shown.error
    assert "**workspace**, 4 test images" in shown.text
    told = {cells[1]: cells[2:] for cells in rows(shown.text, "mistakes")}
    assert told == {
        second["file_name"]: [str(len(second["truths"])), str(len(second["truths"]) - 1), "1 × wrong class"],
        third["file_name"]: [str(len(third["truths"])), "0", f"{len(third['truths'])} × missed"],
    }
    assert "labelled `bearing`, seen as `washer` (0.90)" in shown.text
    assert len(shown.pictures) == 2 + 2 + 1  # kinds of error and confusions, worst images, one doubtful label


def mistaken(images):
    """Let the model find everything, but one object of the second image as another class, and nothing of the third."""
    for image in images:
        image["detections"] = [[*truth[:4], 0.9, truth[4]] for truth in image["truths"]]
    images[1]["detections"][0][5] = (images[1]["detections"][0][5] + 1) % 5
    images[2]["detections"] = []


def rewrite(path, text):
    path.unlink()  # DVC's cache may hold the same file
    path.write_text(text, encoding="utf-8")


def rows(text, column):
    """The cells, with the heading of its row first, of the table that has a column."""
    (table,) = [part for part in text.split("</table>") if f"<th>{column}</th>" in part.partition("</thead>")[0]]
    body = table.partition("<tbody>")[2]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("</tr>") if "<td>" in row]


@pytest.mark.slow
def test_the_released_model_is_shown_whatever_the_workspace_holds(project, execute_notebook):
    for tag in ("detector@v1.0.0", "detector#production#1"):
        project.run("git", "tag", "-a", tag, "-m", "release")
    said = execute_notebook("03_errors", project.root).text
    project.dvc("push")
    project.run("rm", "-rf", "reports/evaluate", "data/prepared", ".dvc/cache")
    with unchanged(project):
        shown = execute_notebook("03_errors", project.root)
    assert not shown.error
    assert "**v1.0.0 (production)**" in shown.text
    assert shown.text == said
    project.run("rm", "-rf", "dvc_remote")
    with unchanged(project):
        shown = execute_notebook("03_errors", project.root)
    assert "missing in the DVC remote" in shown.error and "Traceback" not in shown.error


def test_names_in_other_scripts_are_told_and_change_no_picture_into_boxes(project, execute_notebook):
    for path in [*project.root.glob("reports/*/*.*"), *project.root.glob("data/prepared/*/*.json")]:
        if path.suffix in (".json", ".csv"):
            text = path.read_text(encoding="utf-8")
            for name, other in NAMES.items():
                text = text.replace(name, other)
            rewrite(path, text)
    for name in ("01_data", "03_errors"):
        shown = execute_notebook(name, project.root)  # which holds that Matplotlib has nothing to complain about
        assert not shown.error
        assert "六角螺母" in shown.text
    assert "#2 is `六角螺母`" in shown.text


@pytest.fixture
def talkative(project):
    """The project with a bundle whose threshold lets some detections of the test images pass."""
    bundle = project.root / "models/bundle"
    test = PreparedSplit(project.root / "data/prepared", "test")
    found = Detector(bundle).detect([test.image(i) for i in range(4)], score_threshold=0)
    best = sorted((score for each in found for score in each.scores.tolist()), reverse=True)
    manifest = read(project, "models/bundle/manifest.json")
    manifest["score_threshold"] = (best[8] + best[9]) / 2
    rewrite(bundle / "manifest.json", json.dumps(manifest))
    project.dvc("commit", "--force", "export")
    return project


def test_a_server_answers_and_ends(talkative, execute_notebook):
    with unchanged(talkative):
        shown = execute_notebook("04_serve", talkative.root / "notebooks")
    assert not shown.error
    url = shown.text.partition("A server of our own answers at ")[2].split()[0]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/health/live", timeout=5)
    detector = load_proven(talkative.root / "models/bundle")
    test = PreparedSplit(talkative.root / "data/prepared", "test")
    expected = [
        [test.names[i], detector.manifest.classes[label]]
        for i, found in enumerate(detector.detect([test.image(i) for i in range(4)]))
        for label in found.labels
    ]
    assert [cells[1:3] for cells in rows(shown.text, "score")] == expected
    assert len(expected) == 9
    assert talkative.outs()["models/bundle"] in shown.text
    assert rows(shown.text, "type")[0][1] == "snapshot"
    assert "heartbeat" in shown.text
    assert len(shown.pictures) == 1


def test_a_server_that_is_told_is_asked_and_one_that_is_away_is_said(finished, execute_notebook, free_ports):
    (port,) = free_ports(1)
    with unchanged(finished):
        shown = execute_notebook("04_serve", finished.root, PINDET_URL=f"http://127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port} does not answer" in shown.error
    assert "Traceback" not in shown.error


def test_a_server_ends_with_a_notebook_that_is_killed(finished):
    done = subprocess.run(
        [sys.executable, "-c", SERVE], cwd=finished.root, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{done.stdout.strip()}/health/live", timeout=5).close()
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the server goes on")
