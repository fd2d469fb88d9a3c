"""Several processes train as one does, and end together; on the CPU, with real processes."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import pickle
import re
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pindet.data.prepared import PreparedSplit
from pindet.models import parallel
from pindet.models.pindet import Pindet
from pindet.training import launch
from pindet.training.ranks import check_shares, starts_others
from pindet.training.runtime import Runtime
from pindet.training.samples import EpochSampler, SharedBatches, ValidationBatches
from pindet.training.settings import TrainingSettings
from pindet.training.train import TrainingResult, train

pytestmark = pytest.mark.timeout(300)  # each start of a process imports torch and Lightning anew

ROOT = Path(__file__).parents[2]
TOGETHER = Path(__file__).with_name("together.py")
EPOCHS, BATCH = 3, 3
"""Six images in batches of three: one process has two of a batch, the other has one."""
ENDS_WITHIN = 30.0
"""Seconds that a training has to end after one of its processes; on an idle machine it takes two."""

Made = tuple[TrainingResult, dict[str, torch.Tensor]]
Job = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def given(prepared: Path, model: Callable[..., Pindet], settings: Callable[..., TrainingSettings]) -> tuple[Any, ...]:
    """Positional arguments of a training."""
    splits = [PreparedSplit(prepared, name) for name in ("train", "val")]
    # Validated once, at the end: rounding must not choose another epoch as the best.
    return model(), settings(epochs=EPOCHS, batch_size=BATCH, validate_every=EPOCHS), *splits


@pytest.fixture(scope="module")
def job(given: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Runs the training in so many processes, in a new folder."""

    def run(devices: int, **more: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("job")
        runtime = Runtime(accelerator="cpu", devices=devices, workers=0)
        keywords = {"seed": 0, "runtime": runtime, "resume": folder / "resume"}
        (folder / "given").write_bytes(pickle.dumps((given, keywords)))
        command = [sys.executable, str(TOGETHER), str(folder / "given"), str(folder / "made")]
        done = subprocess.run(
            command, env=environment(**more), cwd=folder, capture_output=True, text=True, timeout=110, check=False
        )
        done.args = folder
        return done

    return run


@pytest.fixture(scope="module")
def alone_and_together(job: Job, given: tuple[Any, ...], tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """The same training by one process, which is this, and by two."""
    done = job(2)
    assert done.returncode == 0, done.stderr
    first = runpy.run_path(str(TOGETHER))["FirstGradients"]()
    runtime, resume = Runtime(accelerator="cpu", devices=1, workers=0), tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = train(*copy.deepcopy(given), seed=0, runtime=runtime, resume=resume, callbacks=[first])
    torch.set_num_threads(threads)
    return [(alone, first.kept), pickle.loads((Path(done.args) / "made").read_bytes())]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "REDIS_"))}
    paths = os.pathsep.join(path for path in sys.path if path)
    return kept | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | more


@pytest.mark.slow
def test_the_first_gradient_is_that_of_one_process(alone_and_together: list[Made]) -> None:
    """Holds normalisers, BatchNorm's statistics and its gradient to what one process computes of the whole batch."""
    (_, alone), (_, together) = alone_and_together
    assert alone.keys() == together.keys()
    length = torch.stack([gradient.norm() for gradient in alone.values()]).norm()
    for name, gradient in alone.items():
        assert (together[name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-5 * length, name


def test_losses_weights_and_quality_are_those_of_one_process(alone_and_together: list[Made]) -> None:
    (alone, _), (together, _) = alone_and_together
    assert len(alone.history) == len(together.history) == EPOCHS
    for one, two in zip(alone.history, together.history, strict=True):
        losses = [name for name in one if name.startswith("train/")]
        assert [two[name] for name in losses] == pytest.approx([one[name] for name in losses], rel=2e-3)
        assert two["lr"] == one["lr"]
    assert together.history[-1]["val/map"] == pytest.approx(alone.history[-1]["val/map"], abs=0.01)
    assert alone.state_dict.keys() == together.state_dict.keys()
    difference = sum(float((together.state_dict[n].double() - v.double()).norm()) for n, v in alone.state_dict.items())
    assert difference < 1e-2 * sum(float(value.double().norm()) for value in alone.state_dict.values())


@pytest.mark.slow
def test_one_loss_that_is_no_number_stops_all_and_keeps_the_whole_batch(job: Job) -> None:
    done = job(2, SPOILED="yes")
    assert done.returncode == 1
    assert done.stderr.count("TrainingDivergedError: the loss is not finite in epoch 1, step 0") == 1
    assert "Traceback" not in done.stderr and "ended with status" not in done.stderr
    kept = json.loads((Path(done.args) / "resume" / "diverged" / "batch.json").read_text("utf-8"))
    assert len(kept["images"]) == BATCH
    assert all(image["name"] in done.stderr and len(image["boxes"]) for image in kept["images"])


@pytest.fixture
def project(prepared: Path, given: tuple[Any, ...], tmp_path: Path) -> Path:
    """A project whose training stage does the same training with two processes."""
    for name in ("src", "serve", "pipelines", "requirements", "conf"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copytree(prepared, tmp_path / "data" / "prepared")
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    settings: TrainingSettings = given[1]
    params["model"] |= {"image_height": 64, "image_width": 64, "backbone": "test_efficientnet", "distance_bins": 8}
    params["model"] |= {"backbone_weights": "none", "backbone_blocks": None}
    params["model"] |= {"neck_channels": 16, "neck_blocks": 1, "head_blocks": 1}
    values = {name: getattr(settings, name) for name in params["training"] if name not in ("_target_", "augmentation")}
    params["training"] |= values
    augmentation = vars(settings.augmentation)
    params["training"]["augmentation"] |= augmentation
    params["runtime"] |= {"accelerator": "cpu", "devices": 2, "workers": 0}
    params["tracking"] |= {"enabled": True}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return tmp_path


def stage(project: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.train"]
    return subprocess.Popen(command, cwd=project, env=environment(DVC_STAGE="train"), stderr=subprocess.PIPE, text=True)


def process_of(started: subprocess.Popen[str], rank: int) -> psutil.Process:
    ranks = {each.environ().get("RANK"): each for each in psutil.Process(started.pid).children()}
    return ranks[str(rank)]


def wait_for(what: Callable[[], Any], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_a_lost_process_ends_the_stage_which_then_goes_on(project: Path, alone_and_together: list[Made]) -> None:
    with stage(project) as started:
        wait_for(lambda: list(project.glob(".pindet/resume/*/epoch-*.ckpt")))
        lost, first = process_of(started, 1), process_of(started, 0)
        lost.send_signal(signal.SIGKILL)
        began = time.monotonic()
        said = started.communicate(timeout=ENDS_WITHIN)[1]
        assert time.monotonic() - began < ENDS_WITHIN
    assert started.returncode == 1
    assert "train failed: process 1 of 2 was killed (SIGKILL), and the others were ended" in said
    assert "lower training.batch_size or runtime.devices" in said
    assert "Traceback" not in said
    assert not first.is_running() and not (project / "models").exists()
    assert runs(project) == ["FAILED"]

    with stage(project) as again:
        said = again.communicate(timeout=240)[1]
    assert again.returncode == 0, said
    assert "going on after epoch" in said
    assert said.count("epoch 3 of 3:") == 1 and said.count("train: ") == 1
    assert runs(project) == ["FINISHED"]
    assert list(project.glob(".pindet/resume/*/finished"))  # kept until DVC has recorded the weights
    result = alone_and_together[1][0]
    made = load_file(project / "models" / "weights.safetensors")
    assert made.keys() == result.state_dict.keys()
    assert all(torch.equal(made[name], value) for name, value in result.state_dict.items())  # as if never interrupted
    with (project / "reports" / "train" / "history.csv").open() as table:
        assert [row["epoch"] for row in csv.DictReader(table)] == ["1", "2", "3"]
    assert sorted(path.name for path in (project / "models").iterdir()) == ["architecture.json", "weights.safetensors"]


def runs(project: Path) -> list[str]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return [status for (status,) in store.execute("select status from runs")]


@pytest.fixture
def one_of_three(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes this process the given one of three."""

    def be(rank: int) -> None:
        for module in ("pindet.models.parallel", "pindet.training.samples", "pindet.training.ranks"):
            monkeypatch.setattr(f"{module}.ranks", lambda: 3)
        for module in ("pindet.models.parallel", "pindet.training.samples"):
            monkeypatch.setattr(f"{module}.rank", lambda: rank)

    return be


def test_shares_together_are_the_batches_of_one_process(one_of_three: Callable[[int], None]) -> None:
    sampler = EpochSampler(23, 0)
    sampler.set_epoch(4)
    whole = list(SharedBatches(sampler, 4))
    shares = []
    for rank in range(3):
        one_of_three(rank)
        batches = SharedBatches(sampler, 4)
        assert len(batches) == len(list(batches)) == 5  # of 23 images three are left out
        shares.append(list(batches))
    assert [[draw for share in step for draw in share] for step in zip(*shares, strict=True)] == whole
    assert all(1 <= len(share) <= 2 for step in shares for share in step)


@pytest.mark.parametrize("images", [1, 32, 33, 100])
def test_validation_images_are_each_seen_once_in_as_many_batches(
    one_of_three: Callable[[int], None], images: int
) -> None:
    seen, counts = [], []
    for rank in range(3):
        one_of_three(rank)
        batches = list(ValidationBatches(images, 16))
        seen += [position for batch in batches for position in batch]
        counts.append(len(batches))
    assert seen == list(range(images))
    assert len(set(counts)) == 1


def test_each_process_needs_an_image(one_of_three: Callable[[int], None]) -> None:
    one_of_three(0)
    check_shares(3, 3)
    with pytest.raises(ValueError, match=r"batch_size is 2, of 9 training images, and 3 processes .* raise training\."):
        check_shares(2, 9)
    with pytest.raises(ValueError, match=r"of 2 training images, and 3 processes"):
        check_shares(8, 2)


def test_one_process_changes_nothing() -> None:
    amount = torch.tensor(0.25)
    assert parallel.normaliser(amount) == 1 and parallel.correction(amount) == 1.0
    values = {"a": amount}
    assert parallel.mean_over_ranks(values) is values
    assert parallel.gathered("x") == ["x"] and parallel.computed_once(lambda: 3) == 3


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_who_starts_the_processes(clean: pytest.MonkeyPatch) -> None:
    two = Runtime(accelerator="cpu", devices=2, workers=0)
    assert starts_others(two)
    assert not starts_others(Runtime(accelerator="cpu", devices=1, workers=0))
    clean.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ValueError, match=r"srun started 4 tasks, .* one torchrun a machine"):
        starts_others(two)
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        clean.setenv(name, value)
    assert not starts_others(two)
    clean.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"devices is 2, and 4 processes .*--nproc-per-node=2, or set runtime\.dev"):
        starts_others(two)


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        ({1: 1, 0: 75}, r"process 1 of 3 ended with status 1, .*\. It said last:\nthe GPU's memory does not suffice$"),
        ({2: -9, 0: 75, 1: 75}, r"process 2 of 3 was killed \(SIGKILL\), .*lower training\.batch_size"),
        ({0: -11, 1: 75, 2: -9}, r"process 0 of 3 was killed \(SIGSEGV\), and the others were ended\. The next run"),
        ({2: 75, 0: 1, 1: 1}, None),  # the first has said it
        ({0: 75, 1: 75, 2: 75}, None),
    ],
)
def test_the_one_that_failed_by_itself_is_named(failed: dict[int, int], said: str | None) -> None:
    logs = [io.BytesIO(), io.BytesIO(b"the GPU's memory does not suffice\n"), io.BytesIO()]
    error = launch._blame(failed, logs)
    if said is None:
        assert isinstance(error, SystemExit) and error.code == 1
    else:
        assert re.search(said, str(error))
