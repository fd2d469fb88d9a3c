"""The examples of docs/serving.md do what they say, on a real server."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import httpx
import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "serving.md").read_text("utf-8")


def block(start):
    """The first code block that begins with ``start``."""
    return next(text for text in re.findall(r"```[a-z]*\n(.*?)```", GUIDE, re.DOTALL) if text.startswith(start))


@pytest.fixture
def folder(tmp_path, scene):
    """A folder with the files that the examples name."""
    pixels = cv2.cvtColor(scene(160, 120), cv2.COLOR_RGB2BGR)
    for name in ("photo.jpg", "a.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / name), pixels)
    writer = cv2.VideoWriter(str(tmp_path / "video.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
    for _ in range(3):
        writer.write(pixels)
    writer.release()
    return tmp_path


def test_the_python_example(server, folder):
    code = block("from pindet_serve.client").replace("http://localhost:8000", server.url)
    assert len(code.strip().splitlines()) == 10
    # It follows the feed for ever; two events are enough.
    code = "from itertools import islice\n" + code.replace("client.status()", "islice(client.status(), 2)")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "serve")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("a.jpg [(") and lines[1].startswith("b.png [(")
    assert lines[2] == "9 objects"
    assert lines[3].startswith("snapshot {") and len(lines) == 5


def test_the_curl_example(server, folder):
    if not shutil.which("curl"):
        pytest.skip("there is no curl")
    environment, answers = dict(os.environ), []
    commands = [line for line in block("curl").splitlines() if line.startswith("curl") and "/v1/auth/" not in line]
    assert len(commands) == 8
    for command in commands:
        command = command.replace("http://localhost:8000", server.url).replace("classes=hex_nut", "classes=red")
        done = subprocess.run(
            ["bash", "-c", command.replace("curl", "curl -sS --fail-with-body", 1)],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        answers.append(done.stdout)
        if "video.mp4" in command:
            environment["ID"] = json.loads(done.stdout)["id"]
            finished(server, environment["ID"])
    one, several, _, _, job, _, model, reload = answers
    assert len(json.loads(one)["images"][0]["detections"]) == 3
    assert [len(image["detections"]) for image in json.loads(several)["images"]] == [1, 1]
    assert cv2.imread(str(folder / "boxes.jpg")).shape == (120, 160, 3)
    assert json.loads(job)["done"] == 3
    assert len((folder / "result.jsonl").read_text("utf-8").splitlines()) == 3
    assert json.loads(model)["md5"] == json.loads(reload)["model"]["md5"]


def finished(server, job, seconds=60):
    until = time.monotonic() + seconds
    while httpx.get(f"{server.url}/v1/jobs/{job}").json()["status"] != "finished":
        assert time.monotonic() < until
        time.sleep(0.05)
