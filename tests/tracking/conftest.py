"""A real MLflow server, a project to track, and a model that trains in no time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from torch.utils.data import DataLoader, TensorDataset

from pindet.tracking.settings import TrackingSettings
from pindet.tracking.store import Store, migrate

CHILD = Path(__file__).with_name("child.py")
REPOSITORY = Path(__file__).parents[2]


class Server:
    """``mlflow server`` on a port and a store that stay the same when it is stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store, files = f"sqlite:///{self.folder / 'server.db'}", str(self.folder / "files")
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        command += ["--host", "127.0.0.1", "--backend-store-uri", store, "--artifacts-destination", files]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        log.close()
        until = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.2)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(server_process: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, running, and the address of it in the environment."""
    if server_process.process is None:
        server_process.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server_process.uri)
    return server_process


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address or experiment of whoever runs the tests; and whatever MLflow sets is taken back."""
    mlflow = ("TRACKING_URI", "TRACKING_USERNAME", "TRACKING_PASSWORD", "EXPERIMENT_NAME")
    dvc = ("ROOT", "EXP_NAME", "EXP_BASELINE_REV")
    for name in [f"MLFLOW_{name}" for name in mlflow] + [f"DVC_{name}" for name in dvc]:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store without an experiment of ours: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    migrate(Store(f"sqlite:///{folder / 'mlflow.db'}", folder))
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, new_store: Path) -> Path:
    """A git repository with prepared data; its name has what paths may have."""
    root = tmp_path / "my prüf project"
    prepared = root / "data" / "prepared"
    prepared.mkdir(parents=True)
    shutil.copy(new_store, root / "mlflow.db")
    (prepared / "dataset.json").write_text("{}")
    (root / ".gitignore").write_text("/mlflow.db\n/mlruns/\n/.pindet/\n/data/\n/weights\n")
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "begin"], check=True)
    return root


@pytest.fixture
def settings() -> TrackingSettings:
    return TrackingSettings(enabled=True, required=True, experiment="pindet")


@pytest.fixture
def runs() -> Callable[[str], list[Run]]:
    """All runs of the experiment ``pindet``, newest first."""

    def find(uri: str) -> list[Run]:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("pindet")
        return list(client.search_runs([experiment.experiment_id])) if experiment else []

    return find


@pytest.fixture
def start_child(project: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``child.py`` in the project; what still runs at the end is killed."""
    children: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "serve")])
        children.append(
            subprocess.Popen(
                [sys.executable, str(CHILD), str(project), *arguments],
                env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                cwd=project,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


class TinyModule(lightning.LightningModule):
    """Has a history with a loss, and a measure that is undefined in the first epoch."""

    def __init__(self, history: list[dict[str, float | None]], after_epoch: Callable[[int], None]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.history = history
        self._after_epoch = after_epoch

    def training_step(self, batch: list[torch.Tensor], batch_index: int) -> torch.Tensor:
        del batch_index
        loss: torch.Tensor = self.layer(batch[0]).square().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        epoch = self.current_epoch
        loss = float(self.trainer.callback_metrics["train/loss"])
        self.history.append({"epoch": epoch, "train/loss": loss, "val/map": 0.25 * epoch if epoch else None})
        self._after_epoch(epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., list[dict[str, float | None]]]:
    """Trains for a number of epochs with the callbacks of a run, and returns the history, to which it adds."""

    def train(
        callbacks: list[lightning.Callback],
        epochs: int = 3,
        after_epoch: Callable[[int], None] = lambda _: None,
        history: list[dict[str, float | None]] | None = None,
    ) -> list[dict[str, float | None]]:
        loader = DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=callbacks,
        )
        module = TinyModule(history or [], after_epoch)
        trainer.fit(module, loader)
        return module.history

    return train
