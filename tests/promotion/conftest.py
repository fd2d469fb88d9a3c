"""Small projects under real git with the objects that DVC would have made, and the servers that releases go to."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from pindet_serve.detector import Detector
from pindet_serve.golden import Tolerance, load_proven, write_golden
from pindet_serve.manifest import Manifest, list_files, write_manifest
from pindet_serve.serving.sources import open_source
from pindet_serve.serving.store import Store

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import RefusedError
from pindet.promotion.promote import Wish, promote
from pindet.promotion.rollback import rollback

CLASSES = ["bolt", "nut"]
SIDE = 64
IMAGES = 24


def _unheard(*_):
    pass


def constant_model(score):
    """Two boxes on every image, of class 0 and 1; ``score`` tells one model from another."""
    boxes = np.array([[[4, 4, 30, 30], [34, 34, 60, 60]]], np.float32)
    constants = {"all_boxes": boxes, "all_scores": np.array([[score, score]], np.float32), "all_labels": [[0, 1]]}
    nodes = [
        helper.make_node("Shape", ["images"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "two"], ["flat"], axis=0),
        helper.make_node("Concat", ["batch", "two_four"], ["deep"], axis=0),
        helper.make_node("Expand", ["all_boxes", "deep"], ["boxes"]),
        helper.make_node("Expand", ["all_scores", "flat"], ["scores"]),
        helper.make_node("Expand", ["all_labels", "flat"], ["labels"]),
    ]
    constants |= {"two": [2], "two_four": [2, 4]}
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", 2, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", 2]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


PIPELINE = """
stages:
  prepare: {cmd: prepare, outs: [data/prepared]}
  train: {cmd: train, deps: [data/prepared, src/model.py], params: [training], outs: [models/weights.safetensors]}
  evaluate: {cmd: evaluate, outs: [reports/evaluate], metrics: [{metrics.json: {cache: false}}]}
  export: {cmd: export, deps: [models/weights.safetensors, metrics.json], outs: [models/bundle]}
"""


def md5_of(data):
    return hashlib.md5(data).hexdigest()


class Project:
    """A project folder whose stages are pretended: their outs lie in DVC's cache and ``dvc.lock`` pins them."""

    def __init__(self, root):
        self.root = root

    def git(self, *arguments, status=0):
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout.strip()

    def commit(self, message="work"):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    @property
    def remote(self):
        return self.root.parent / "remote"

    def object(self, md5, place=None):
        return (place or self.root / ".dvc/cache") / "files/md5" / md5[:2] / md5[2:]

    def keep(self, folder_or_file):
        """Put an out into the cache as DVC does; return its md5."""
        if folder_or_file.is_file():
            return self._keep_bytes(folder_or_file.read_bytes())
        paths = {p.relative_to(folder_or_file).as_posix(): p for p in folder_or_file.rglob("*") if p.is_file()}
        entries = [{"md5": self._keep_bytes(paths[name].read_bytes()), "relpath": name} for name in sorted(paths)]
        return self._keep_bytes(json.dumps(entries).encode(), ".dir")

    def _keep_bytes(self, data, suffix=""):
        md5 = md5_of(data) + suffix
        path = self.object(md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return md5

    def train(
        self, *, score=0.9, miss=(), wrong=(), test_seed=0, train_note="", learnt=0, lr=0.01, tracked=False,
        message="train",
    ):  # fmt: skip
        """Pretend a run of the pipeline and commit it.

        ``miss``: test images on which class ``nut`` is not found; ``wrong``: images with a needless detection;
        ``test_seed``: another test split; ``train_note``: other training data; ``score``: another model;
        ``learnt``: how many images of the next test split are among the training images.
        """
        self.write("params.yaml", yaml.safe_dump(parameters(lr, tracked)))
        self._prepared(test_seed, train_note, learnt)
        metrics = {"test/map": 0.9 - 0.01 * len(miss), "test/map/bolt": 0.9, "test/map/nut": 0.9 - 0.02 * len(miss)}
        self.write("metrics.json", json.dumps(metrics, sort_keys=True, indent=1) + "\n")
        write_json(self.root / "reports/evaluate/per_image.json", per_image(score, miss, wrong, test_seed))
        self.write("models/weights.safetensors", f"weights {score} {miss} {wrong} {lr} {train_note}")
        self._bundle(score, metrics)
        self.lock()
        return self.commit(message)

    def lock(self):
        """Write ``dvc.lock`` as the files are."""
        kept = {
            out: {"path": out, "hash": "md5", "md5": self.keep(self.root / out)}
            for out in ("data/prepared", "models/weights.safetensors", "reports/evaluate", "models/bundle")
        }
        code = {"path": "src/model.py", "hash": "md5", "md5": md5_of((self.root / "src/model.py").read_bytes())}
        metrics = {"path": "metrics.json", "hash": "md5", "md5": md5_of((self.root / "metrics.json").read_bytes())}
        params = yaml.safe_load((self.root / "params.yaml").read_text())
        stages = {
            "prepare": {"cmd": "prepare", "outs": [kept["data/prepared"]]},
            "train": {
                "cmd": "train",
                "deps": [kept["data/prepared"], code],
                "params": {"params.yaml": {"training": params["training"]}},
                "outs": [kept["models/weights.safetensors"]],
            },
            "evaluate": {"cmd": "evaluate", "outs": [metrics, kept["reports/evaluate"]]},
            "export": {
                "cmd": "export",
                "deps": [kept["models/weights.safetensors"], metrics],
                "outs": [kept["models/bundle"]],
            },
        }
        self.write("dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))

    def pinned(self, path="models/bundle", rev="HEAD"):
        lock = yaml.safe_load(self.git("show", f"{rev}:dvc.lock"))
        return next(o["md5"] for s in lock["stages"].values() for o in s["outs"] if o["path"] == path)

    def listing(self, md5):
        return {entry["relpath"]: entry["md5"] for entry in json.loads(self.object(md5).read_text())}

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def tags(self, place=None):
        return set(subprocess.check_output(["git", "tag"], cwd=place or self.root, text=True).split())

    def release(self, stage="production"):
        path = self.remote / f"releases/detector/{stage}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def pindet(self, *arguments, status=0, **environment):
        """Type a command; return its standard output."""
        done = subprocess.run(
            [sys.executable, "-c", "from pindet.cli import main; main()", *arguments],
            cwd=self.root, env=os.environ | environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        self.said = done.stderr
        return done.stdout

    def promote(self, **wish):
        """Promote in this process."""
        with open_bench(self.root) as bench:
            return promote(bench, Wish(**wish), _unheard, _unheard)

    def refusal(self, **wish):
        """The reasons of the gates that are closed to a promotion."""
        with pytest.raises(RefusedError) as error:
            self.promote(**wish)
        return {verdict.gate: verdict.reason for verdict in error.value.outcome.verdicts if not verdict.is_open}

    def roll_back(self, **arguments):
        """Roll production back in this process; the version, and what was said."""
        said = []
        with open_bench(self.root) as bench:
            outcome = rollback(bench, "production", _unheard, lambda name, _: said.append(name), **arguments)
        return outcome.version, " ".join(said)

    def served(self, folder):
        """What a server would load, proven."""
        source = open_source(str(self.remote / "releases/detector/production.json"))
        release = source.pinned()
        return release, load_proven(Store(folder / "store").bundle(release, source.fetch))

    def _prepared(self, test_seed, train_note, learnt):
        folder = self.root / "data/prepared"
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / "train/annotations.json", {"note": train_note})
        index = {name(i): {"size": len(png((test_seed + 1) * 1000 + i))} for i in range(learnt)}
        write_json(folder / "train/index.json", index)
        index, shard = {}, b""
        for i in range(IMAGES):
            data = png(test_seed * 1000 + i)
            index[name(i)] = {"shard": "0.tar", "offset": len(shard), "size": len(data)}
            shard += data
        (folder / "test").mkdir()
        (folder / "test/0.tar").write_bytes(shard)
        write_json(folder / "test/index.json", index)
        write_json(folder / "test/annotations.json", coco(test_seed))

    def _bundle(self, score, metrics):
        folder = self.root / "models/bundle"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        onnx.save(constant_model(score), folder / "model.onnx")
        content = {
            "classes": CLASSES, "image_height": SIDE, "image_width": SIDE, "letterbox_fill": 114,
            "letterbox_resampling": "pyramid", "score_threshold": 0.5, "max_detections": 2, "metrics": metrics,
            "data_md5": self.keep(self.root / "data/prepared"),
        }  # fmt: skip
        write_manifest(folder, Manifest(**content, files=list_files(folder)))
        image = np.full((SIDE, SIDE, 3), 90, np.uint8)
        answers = Detector(folder, threads=1).detect([image])
        write_golden(folder, [image], answers, Tolerance(box=0.5, score=0.01), 0.5)
        write_manifest(folder, Manifest(**content, files=list_files(folder)))


def name(i):
    return f"test-{i:05d}.png"


def png(seed):
    pixels = np.random.default_rng(seed).integers(60, 120, (SIDE, SIDE, 3)).astype(np.uint8)
    pixels[4:30, 4:30], pixels[34:60, 34:60] = (200, 60, 40), (40, 90, 200)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def coco(seed):
    categories = [{"id": k + 1, "name": each} for k, each in enumerate(CLASSES)]
    images = [{"id": i + 1, "file_name": name(i), "height": SIDE, "width": SIDE} for i in range(IMAGES)]
    annotations = []
    for i in range(IMAGES):
        for k, (x, y) in enumerate([(4, 4), (34, 34)]):
            box = [x, y, 26 - seed, 26]
            annotations.append(
                {"id": 2 * i + k + 1, "image_id": i + 1, "category_id": k + 1, "bbox": box, "area": 676, "iscrowd": 0}
            )
    return {"images": images, "categories": categories, "annotations": annotations}


def per_image(score, miss, wrong, seed):
    images = []
    for i in range(IMAGES):
        truths = [[4.0, 4.0, 30.0 - seed, 30.0, 0], [34.0, 34.0, 60.0 - seed, 60.0, 1]]
        found = [[4.0, 4.0, 30.0, 30.0, score, 0]]
        found += [] if i in miss else [[34.0, 34.0, 60.0, 60.0, score, 1]]
        found += [[0.0, 40.0, 20.0, 60.0, 0.95, 0]] if i in wrong else []
        images.append({"file_name": name(i), "truths": truths, "detections": found})
    return {"classes": CLASSES, "score_threshold": 0.5, "iou_threshold": 0.5, "images": images}


def parameters(lr, tracked):
    return {
        "seed": 0,
        "data": {"_target_": "pindet.data.settings.PartsData", "root": "src"},
        "training": {"lr": lr, "epochs": 3},
        "tracking": {"_target_": "pindet.tracking.settings.TrackingSettings", "enabled": tracked},
    }


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path_factory):
    """Neither the machine's git settings nor its DVC settings, trackers or servers play a part."""
    for variable in list(os.environ):
        if variable.startswith(("GIT_", "DVC_", "MLFLOW_", "REDIS_", "AWS_")):
            monkeypatch.delenv(variable)
    scratch = tmp_path_factory.mktemp("dvc")
    values = {
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        **dict.fromkeys(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"], "Tester"),
        **dict.fromkeys(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"], "tester@localhost"),
        "DVC_GLOBAL_CONFIG_DIR": str(scratch / "config"), "DVC_SYSTEM_CONFIG_DIR": str(scratch / "system"),
        "DVC_SITE_CACHE_DIR": str(scratch / "site"), "DVC_NO_ANALYTICS": "1",
        "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[2] / each) for each in ("src", "serve")),
        "NO_COLOR": "1", "COLUMNS": "200", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    for variable, value in values.items():
        monkeypatch.setenv(variable, value)


def make_project(folder):
    root = folder / "project"
    (root / ".dvc").mkdir(parents=True)
    project = Project(root)
    project.write(".dvc/config", "[core]\n    remote = store\n    analytics = false\n    check_update = false\n"
                  "['remote \"store\"']\n    url = ../../remote\n")  # fmt: skip
    project.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
    project.write(".gitignore", "/data/\n/models/\n/reports/\n/.pindet/\n/mlflow.db*\n/mlruns/\n")
    project.write("src/model.py", "WIDTH = 64\n")
    project.write("dvc.yaml", PIPELINE)
    project.write("promotion.yaml", "resamples: 200\n")
    project.git("init", "-q", "-b", "main")
    return project


@pytest.fixture(scope="session")
def _trained(tmp_path_factory):
    """A project with one finished run; copied for each test."""
    patch = pytest.MonkeyPatch()
    for variable, value in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        **dict.fromkeys(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"], "Tester"),
        **dict.fromkeys(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"], "tester@localhost"),
    }.items():
        patch.setenv(variable, value)
    folder = tmp_path_factory.mktemp("trained")
    project = make_project(folder)
    project.train(message="first run")
    patch.undo()
    return folder


@pytest.fixture
def project(_trained, tmp_path):
    """A project with one finished run, no git remote, and an empty DVC remote in a folder."""
    shutil.copytree(_trained / "project", tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def shared(project):
    """The same with a bare git remote ``origin``, ``project.origin``."""
    project.origin = project.root.parent / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(project.origin)], check=True)
    project.git("remote", "add", "origin", str(project.origin))
    project.git("push", "-q", "origin", "main")
    return project


@pytest.fixture
def clone(tmp_path):
    """Clones a shared project, as a colleague would."""

    def make(project, *options):
        root = tmp_path / f"clone-{uuid.uuid4().hex[:6]}" / "project"
        root.parent.mkdir()
        subprocess.run(["git", "clone", "-q", *options, f"file://{project.origin}", str(root)], check=True)
        copied = Project(root)
        (root / ".dvc/config.local").write_text(f"['remote \"store\"']\n    url = {project.remote}\n")
        return copied

    return make


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory):
    """A real MLflow server; its address."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder / "files"),
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the server and its worker, which are a group of their own
        process.wait(30)


@pytest.fixture
def free_port():
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
