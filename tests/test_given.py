"""A stage's parameters and dependencies are held to what they were when it began."""

import subprocess
import sys

import pytest
import yaml

from pindet import given
from pindet.given import Given, GivenChangedError, check_as_begun, check_nothing_runs, running

STAGE = {"cmd": "true", "deps": ["${data.root}", "code.py"], "params": ["seed", "data"], "outs": ["out"]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.txt").write_text("a")
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"prepare": STAGE}}))
    write_params(tmp_path)
    return tmp_path


def write_params(folder, root="raw", gallery=3):
    tree = {"seed": 0, "data": {"root": root}, "evaluation": {"gallery": gallery}}
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))


def test_what_stays_is_allowed(folder):
    found = Given.now("prepare")
    (folder / "code.py").write_text("1")  # the same again
    write_params(folder, gallery=4)  # which the stage does not read
    (folder / "raw/__pycache__").mkdir()
    (folder / "raw/__pycache__/a.pyc").write_text("")
    found.check()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "code.py").write_text("2"), "while prepare ran this changed: code.py"),
        (lambda folder: (folder / "raw/b.txt").write_text("b"), "raw/b.txt"),
        (lambda folder: (folder / "raw/a.txt").unlink(), "raw/a.txt"),
        (lambda folder: write_params(folder, root="code.py"), r"params.yaml:data.root 'raw' → 'code.py'"),
        (lambda folder: [(folder / f"raw/{n}").write_text("") for n in range(5)], "raw/0, raw/1, raw/2 and 2 more"),
    ],
)
def test_what_changes_is_named(folder, change, said):
    found = Given.now("prepare")
    change(folder)
    with pytest.raises(GivenChangedError, match=said):
        found.check()


def test_a_large_file_is_known_by_its_size_and_time(folder, monkeypatch):
    monkeypatch.setattr(given, "_SMALL", 0)
    found = Given.now("prepare")
    found.check()
    (folder / "code.py").write_text("12")
    with pytest.raises(GivenChangedError, match=r"code\.py"):
        found.check()


def test_the_stages_of_one_run_have_the_parameters_of_its_first(folder):
    params = folder / "params.yaml"
    check_as_begun(params, "dvc 1")
    check_as_begun(params, "dvc 1")
    write_params(folder, gallery=9)
    with pytest.raises(GivenChangedError, match=r"while the pipeline ran this changed: evaluation\.gallery 3 → 9"):
        check_as_begun(params, "dvc 1")
    check_as_begun(params, "dvc 2")


def test_parameters_stay_while_a_stage_runs(folder):
    check_nothing_runs()
    code = "from pindet.given import *; import sys\nwith running(): print('on', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder) as stage:
        assert stage.stdout.readline() == b"on\n"
        with pytest.raises(GivenChangedError, match="a stage is running in this folder"):
            check_nothing_runs()
        with running():  # another process of the same stage
            pass
        stage.kill()  # who dies holds nothing any more
    check_nothing_runs()
