"""A bundle whose model really looks: it boxes the red, the blue and the white of an image; and servers of it."""

import functools
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
import psutil
import pytest
import yaml
from onnx import TensorProto, helper
from pindet_serve.detector import Detector
from pindet_serve.golden import Tolerance, write_golden
from pindet_serve.jobs.job import INPUT
from pindet_serve.manifest import Manifest, list_files, write_manifest
from pindet_serve.serving.wanted import Wanted

SIDE = 256
CLASSES = ["red", "blue", "white"]


def looking_model(score: float) -> onnx.ModelProto:
    """One object a class: the box around its pixels; its score is ``score``, or 0 where it has no pixel.

    Red is a red value 80 above green and blue, blue likewise; white is every value above 200.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Split", ["float"], ["r", "g", "b"], axis=3, num_outputs=3),
    ]
    for name, above, others in [("red", "r", ["g", "b"]), ("blue", "b", ["r", "g"])]:
        nodes += [
            helper.make_node("Max", others, [f"{name}_others"]),
            helper.make_node("Sub", [above, f"{name}_others"], [f"{name}_excess"]),
            helper.make_node("Greater", [f"{name}_excess", "eighty"], [f"{name}_is"]),
        ]
    nodes += [
        helper.make_node("Min", ["r", "g", "b"], ["white_least"]),
        helper.make_node("Greater", ["white_least", "two_hundred"], ["white_is"]),
        helper.make_node("Concat", ["red_is", "blue_is", "white_is"], ["is"], axis=3),
        helper.make_node("Cast", ["is"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["mask", "rows_axis"], ["columns"], keepdims=0),
        helper.make_node("ReduceMax", ["mask", "columns_axis"], ["rows"], keepdims=0),
    ]
    for axis, source in (("x", "columns"), ("y", "rows")):
        nodes += [
            helper.make_node("ArgMax", [source], [f"{axis}1_index"], axis=1, keepdims=0),
            helper.make_node("ArgMax", [source], [f"{axis}2_last"], axis=1, keepdims=0, select_last_index=1),
            helper.make_node("Add", [f"{axis}2_last", "one"], [f"{axis}2_index"]),
        ]
    for corner in ("x1", "y1", "x2", "y2"):
        nodes += [
            helper.make_node("Cast", [f"{corner}_index"], [f"{corner}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{corner}_float", "last"], [corner]),
        ]
    nodes += [
        helper.make_node("Concat", ["x1", "y1", "x2", "y2"], ["boxes"], axis=2),
        helper.make_node("ReduceMax", ["columns", "rows_axis"], ["any"], keepdims=0),
        helper.make_node("Mul", ["any", "score"], ["scores"]),
        helper.make_node("Shape", ["scores"], ["shape"]),
        helper.make_node("Expand", ["all_labels", "shape"], ["labels"]),
    ]
    constants = {
        "eighty": np.array(80, np.float32),
        "two_hundred": np.array(200, np.float32),
        "rows_axis": np.array([1]),
        "columns_axis": np.array([2]),
        "one": np.array([1]),
        "last": np.array([2]),
        "score": np.array(score, np.float32),
        "all_labels": np.array([[0, 1, 2]]),
    }
    graph = helper.make_graph(
        nodes,
        "looking",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 3, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", 3]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def scene(width: int = 200, height: int = 120) -> np.ndarray:
    """A grey picture, uint8 [H, W, 3] RGB, with a red, a blue and a white rectangle."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[height // 10 : height // 2, width // 10 : width // 4] = (220, 20, 30)
    image[height // 5 : height * 4 // 5, width // 2 : width * 3 // 4] = (20, 30, 220)
    image[height * 7 // 10 : height * 9 // 10, width // 20 : width * 2 // 5] = 250
    return image


@pytest.fixture(name="scene")
def scene_fixture():
    return scene


@pytest.fixture(scope="session")
def picture():
    return scene


def write_bundle(folder: Path, *, score: float = 0.9, classes: list[str] = CLASSES, **changes) -> Path:
    """Write a bundle; ``score`` tells one bundle from another, ``changes`` spoil its manifest."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    onnx.save(looking_model(score), folder / "model.onnx")
    content = {
        "classes": classes,
        "image_height": SIDE,
        "image_width": SIDE,
        "letterbox_fill": 114,
        "letterbox_resampling": "pyramid",
        "score_threshold": 0.5,
        "max_detections": 3,
        "metrics": {"test/map": score},
        "data_md5": "0" * 32,
    }
    write_manifest(folder, Manifest(**content, files=list_files(folder)))
    images = [scene(), scene(90, 250)]
    answers = Detector(folder, threads=1).detect(images)
    write_golden(folder, images, answers, Tolerance(box=0.5, score=0.01), 0.5)
    write_manifest(folder, Manifest(**content, files=list_files(folder)))
    if changes:
        spoilt = json.loads((folder / "manifest.json").read_text("utf-8")) | changes
        (folder / "manifest.json").write_text(json.dumps(spoilt), "utf-8")
    return folder


@pytest.fixture
def make_bundle():
    return write_bundle


@pytest.fixture(scope="session")
def bundle_writer():
    return write_bundle


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def entries(folder: Path) -> list[dict]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [{"md5": md5_of(paths[name]), "relpath": name} for name in sorted(paths)]


def dir_md5(folder: Path) -> str:
    return hashlib.md5(json.dumps(entries(folder)).encode()).hexdigest() + ".dir"


def write_lock(root: Path) -> str:
    """Write the ``dvc.lock`` of a project as its ``models/bundle`` is now; return the md5."""
    md5 = dir_md5(root / "models" / "bundle")
    outs = [{"path": "models/bundle", "hash": "md5", "md5": md5, "size": 1, "nfiles": 5}]
    content = {"schema": "2.0", "stages": {"export": {"cmd": "python -m pipelines.export", "outs": outs}}}
    (root / "dvc.lock").write_text(yaml.safe_dump(content), "utf-8")
    return md5


@pytest.fixture
def lock():
    return write_lock


@pytest.fixture
def project(tmp_path):
    """A project folder with a bundle and its pin."""
    return write_project(tmp_path / "project")


def write_project(root: Path) -> Path:
    write_bundle(root / "models" / "bundle")
    write_lock(root)
    return root


@pytest.fixture
def make_release():
    """Writes a bundle into a DVC remote, with a release file that names it; returns the release file."""

    def made(remote: Path, bundle: Path, version: str = "v1.0.0") -> Path:
        files = []
        for entry in entries(bundle):
            key = f"files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}"
            (remote / key).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / entry["relpath"], remote / key)
            size = (bundle / entry["relpath"]).stat().st_size
            files.append({"path": entry["relpath"], "md5": entry["md5"], "size": size, "key": key})
        path = remote / "releases" / "detector" / "production.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "name": "detector",
            "version": version,
            "stage": "production",
            "bundle_md5": dir_md5(bundle),
            "files": files,
            "git_commit": "1" * 40,
        }
        path.write_text(json.dumps(content), "utf-8")
        return path

    return made


@dataclass
class Server:
    """A real server process."""

    process: subprocess.Popen
    log: Path
    state: Path
    hold: Path

    @functools.cached_property
    def url(self) -> str:
        """Where it listens: on a port that it chose itself, so that no other can have taken it."""
        for line in self.lines():
            if found := re.search(r"running on (http://[0-9.:]+)", line["message"]):
                return found[1]
        pytest.fail(f"it does not listen: {self.log.read_text('utf-8')}")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def lines(self) -> list[dict]:
        """What it has logged so far; of a line that is being written, a reader can see a part."""
        whole, _, _ = self.log.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.split(b"\n") if line.startswith(b"{")]

    def line_of(self, request_id: str, seconds: float = 60) -> dict:
        """The line of a request; it is written after the answer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self.lines():
                if line.get("request_id") == request_id and line["message"] == "request":
                    return line
            time.sleep(0.01)
        pytest.fail(f"no line of {request_id} after {seconds} s")

    def rss_mb(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


SLOW = """
import pathlib, time
from pindet_serve.detector import Detector
infer = Detector.infer
def slow(self, images, **given):
    time.sleep({seconds})
    while pathlib.Path({hold!r}).exists():
        time.sleep(0.01)
    return infer(self, images, **given)
Detector.infer = slow
from pindet_serve.__main__ import main
main()
"""


class Servers:
    """Starts servers and ends them by their processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Server] = []

    def start(
        self,
        source: Path | str,
        *flags: str,
        ready: bool = True,
        slow: float = 0,
        preexec_fn=None,
        program: list[str] | None = None,
        **variables,
    ) -> Server:
        """Start ``python -m pindet_serve`` and wait until it is ready.

        ``program``: what to run instead. ``slow``: seconds more for each inference, which then also waits while the
        file ``hold`` exists.
        """
        number = len(self.started)
        log, state = self.folder / f"server-{number}.log", self.folder / "state"
        hold = self.folder / f"hold-{number}"
        slowed = [sys.executable, "-c", SLOW.format(seconds=slow, hold=str(hold))]
        program = program or (slowed if slow else [sys.executable, "-m", "pindet_serve"])
        options = [f"--source={source}", "--port=0", f"--state={state}", "--threads=2", "--engine=onnxruntime"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "serve")} | variables
        with log.open("w") as output:
            command = [*program, *options, *flags]
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, preexec_fn=preexec_fn)
        server = Server(process, log, state, hold)
        self.started.append(server)
        if ready:
            wait_until_ready(server)
        return server

    def stop(self) -> None:
        for server in self.started:
            server.process.kill()
            server.process.wait(10)


@pytest.fixture
def start_server(tmp_path):
    servers = Servers(tmp_path)
    try:
        yield servers.start
    finally:
        servers.stop()


@pytest.fixture(scope="module")
def module_servers(tmp_path_factory):
    """Starts servers of a project with flags of their own, for all tests of a module."""
    folder = tmp_path_factory.mktemp("servers")
    servers = Servers(folder)
    try:
        yield lambda *flags, **variables: servers.start(write_project(folder / "project"), *flags, **variables)
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server for all tests that only ask it."""
    folder = tmp_path_factory.mktemp("server")
    servers = Servers(folder)
    flags = ["--max-megapixels=20", "--max-body-mb=4", "--max-images=8"]
    try:
        yield servers.start(write_project(folder / "project"), *flags)
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def guarded_server(tmp_path_factory):
    """A server with sign-in, and no user yet."""
    folder = tmp_path_factory.mktemp("guarded")
    servers = Servers(folder)
    try:
        yield servers.start(write_project(folder / "project"), JWT_SECRET="0f9d2c4b6a8e1735f0b1c2d3e4a59687")
    finally:
        servers.stop()


def wait_until_ready(server: Server, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.process.poll() is not None:
            pytest.fail(f"the server ended with {server.process.returncode}: {server.log.read_text('utf-8')}")
        if b"running on http" in server.log.read_bytes() and httpx.get(f"{server.url}/health/ready").status_code == 200:
            return
        time.sleep(0.05)
    pytest.fail(f"not ready after {seconds} s: {server.log.read_text('utf-8')}")


@pytest.fixture
def imageless():
    """A zip whose one file is no image."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.png", b"no image")
    return buffer.getvalue()


@pytest.fixture
def submit_job(imageless):
    """Give a runner that zip as a job, as the route does."""

    def submit(runner):
        upload = runner.reserve()
        (upload.folder / INPUT).write_bytes(imageless)
        try:
            return runner.submit(upload, "zip", Wanted())
        finally:
            runner.give_back(upload)

    return submit
