"""A bundle whose model really looks: it boxes the red, the blue and the white of an image; and servers of it."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper
from pindet_serve.detector import Detector
from pindet_serve.golden import Tolerance, write_golden
from pindet_serve.manifest import Manifest, list_files, write_manifest

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


@pytest.fixture
def make_bundle():
    """Writes a bundle into a folder; ``score`` tells one bundle from another, ``changes`` spoil its manifest."""

    def made(folder: Path, *, score: float = 0.9, classes: list[str] = CLASSES, **changes) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        onnx.save(looking_model(score), folder / "model.onnx")
        content = {
            "schema_version": 1,
            "classes": classes,
            "image_height": SIDE,
            "image_width": SIDE,
            "letterbox_fill": 114,
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

    return made


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def entries(folder: Path) -> list[dict]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [{"md5": md5_of(paths[name]), "relpath": name} for name in sorted(paths)]


def dir_md5(folder: Path) -> str:
    return hashlib.md5(json.dumps(entries(folder)).encode()).hexdigest() + ".dir"


@pytest.fixture
def lock():
    """Writes the ``dvc.lock`` of a project as its ``models/bundle`` is now; returns the md5."""

    def locked(root: Path) -> str:
        md5 = dir_md5(root / "models" / "bundle")
        outs = [{"path": "models/bundle", "hash": "md5", "md5": md5, "size": 1, "nfiles": 5}]
        content = {"schema": "2.0", "stages": {"export": {"cmd": "python -m pipelines.export", "outs": outs}}}
        (root / "dvc.lock").write_text(yaml.safe_dump(content), "utf-8")
        return md5

    return locked


@pytest.fixture
def project(tmp_path, make_bundle, lock):
    """A project folder with a bundle and its pin."""
    root = tmp_path / "project"
    make_bundle(root / "models" / "bundle")
    lock(root)
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
    url: str
    log: Path

    def lines(self) -> list[dict]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines() if line.startswith("{")]


@pytest.fixture
def start_server(tmp_path):
    """Starts ``python -m pindet_serve`` with flags and waits until it is ready; ends it by its process."""
    started = []

    def start(source, *flags: str, state: Path | None = None, ready: bool = True, **environment: str) -> Server:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tmp_path / f"server-{port}.log"
        command = [sys.executable, "-m", "pindet_serve", f"--source={source}", f"--port={port}", "--threads=1"]
        command += [f"--state={state or tmp_path / 'state'}", "--engine=onnxruntime", *flags]
        variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "serve")} | environment
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=variables)
        server = Server(process, f"http://127.0.0.1:{port}", log)
        started.append(server)
        if ready:
            wait_until_ready(server)
        return server

    yield start
    for server in started:
        server.process.kill()
        server.process.wait(10)


def wait_until_ready(server: Server, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.process.poll() is not None:
            pytest.fail(f"the server ended with {server.process.returncode}: {server.log.read_text('utf-8')}")
        try:
            if httpx.get(f"{server.url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(f"not ready after {seconds} s: {server.log.read_text('utf-8')}")
