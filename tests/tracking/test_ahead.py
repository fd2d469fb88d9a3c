"""MLflow's database made by another process, while the stage imports its libraries."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pindet.tracking import ahead
from pindet.tracking.store import connect, find_store

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose runs have no store yet, on two cores."""
    monkeypatch.setattr("pindet_serve.serving.cpus.usable_cpus", lambda: 2)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text("utf-8"), "utf-8")
    return tmp_path


def set_enabled(project: Path, enabled: bool) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text("utf-8"))
    params["tracking"]["enabled"] = enabled
    (project / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")


def refused(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_the_store_is_made_by_another_process(new_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (new_project / "mlflow.db").touch()  # what an interrupted one leaves
    ahead.begin_store(new_project)
    until = time.monotonic() + 120
    while not (new_project / "mlflow.db").stat().st_size:
        assert time.monotonic() < until, "no other process has made it"
        time.sleep(0.1)
    monkeypatch.setattr("pindet.tracking.store._create", lambda *_: pytest.fail("it is made already"))
    assert connect(find_store(new_project), "pindet").experiment_id


def test_a_stage_begins_it_before_it_imports_torch(new_project: Path) -> None:
    code = (
        "import runpy, sys\n"
        "import pindet.tracking.ahead as ahead\n"
        "ahead.begin_store = lambda root: sys.exit(f'{root} {sorted({\"torch\", \"mlflow\"} & sys.modules.keys())}')\n"
        "runpy.run_module('pipelines.train', run_name='__main__')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=new_project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ". []"


def test_a_project_that_does_not_track_gets_no_store(new_project: Path) -> None:
    set_enabled(new_project, False)
    subprocess.run([sys.executable, "-m", "pindet.tracking.ahead", str(new_project)], check=True)
    assert not (new_project / "mlflow.db").exists()
    set_enabled(new_project, True)
    subprocess.run([sys.executable, "-m", "pindet.tracking.ahead", str(new_project)], check=True)
    assert (new_project / "mlflow.db").stat().st_size


@pytest.mark.parametrize("why", ["there already", "a server's", "another process's", "one core", "out of reach"])
def test_no_process_begins_for_a_store_that_is(new_project: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "there already":
        (new_project / "mlflow.db").write_bytes(b"a database")
    elif why == "a server's":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    elif why == "another process's":
        monkeypatch.setenv("RANK", "1")
    elif why == "one core":
        monkeypatch.setattr("pindet_serve.serving.cpus.usable_cpus", lambda: 1)
    else:
        monkeypatch.setattr(Path, "exists", refused)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process has begun"))
    ahead.begin_store(new_project)


def test_a_process_that_can_not_begin_is_left_out(new_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", refused)
    ahead.begin_store(new_project)
    assert not (new_project / "mlflow.db").exists()
