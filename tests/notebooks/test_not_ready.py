"""A notebook without a pipeline that has run says what to do, in one sentence."""

import shutil
from pathlib import Path

import pytest

from pindet.notebooks.opening import NotReadyError, open_project
from pindet.notebooks.served import OwnServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "notebooks").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.mark.parametrize("name", ["01_data", "02_runs", "04_serve"])
def test_the_command_to_run_is_named(project, execute_notebook, name):
    before = sorted(project.rglob("*"))
    shown = execute_notebook(name, project / "notebooks")
    assert "run `make repro`" in shown.error
    assert "Traceback" not in shown.error and len(shown.error.splitlines()) == 1
    assert sorted(project.rglob("*")) == before


def test_a_folder_without_git_and_dvc_is_told(project, execute_notebook):
    shown = execute_notebook("03_errors", project / "notebooks", GIT_CEILING_DIRECTORIES=str(project.parent))
    assert "no git repository" in shown.error
    assert "Traceback" not in shown.error


def test_the_project_is_found_from_a_folder_in_it(project, monkeypatch):
    monkeypatch.chdir(project / "notebooks")
    assert open_project().root == project
    monkeypatch.chdir(project.parent)
    with pytest.raises(NotReadyError, match=r"no dvc\.yaml here"):
        open_project()


def test_a_server_that_does_not_start_gives_its_reason(project):
    with pytest.raises(NotReadyError, match=r"It said: pindet-serve: .* has no dvc\.lock"):
        OwnServer(project)
