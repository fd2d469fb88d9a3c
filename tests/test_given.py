"""A stage's parameters and dependencies are held to what they were when it began."""

import os
import subprocess
import sys

import pytest
import yaml

from pindet import given
from pindet.given import Given, GivenChangedError, check_nothing_runs, running

STAGE = {"cmd": "true", "deps": ["${data.root}", "code.py"], "params": ["seed", "data"], "outs": ["out"]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(given, "PASSES_WITHIN", 0.0)
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


def test_data_are_known_by_size_and_time_and_code_by_its_content(folder):
    found = Given.now("prepare")
    for name in ("code.py", "raw/a.txt"):
        seen = (folder / name).stat()
        os.utime(folder / name, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))
    with pytest.raises(GivenChangedError, match=r"changed: raw/a\.txt\."):
        found.check()


def test_what_comes_and_goes_beside_the_code_is_no_part_of_it(folder):
    found = Given.now("prepare")
    for name in (".a.txt.swp", "a.txt~", ".#a.txt", ".DS_Store", "Thumbs.db"):
        (folder / "raw" / name).write_text("")
    found.check()


@pytest.mark.parametrize("name", ["code.py", "params.yaml", "dvc.yaml"])
def test_what_is_away_for_a_moment_alone_is_forgiven(folder, monkeypatch, name):
    monkeypatch.setattr(given, "PASSES_WITHIN", 60.0)
    found, before = Given.now("prepare"), (folder / name).read_text()
    (folder / name).unlink()
    waited = []
    monkeypatch.setattr(given.time, "sleep", lambda _: waited.append((folder / name).write_text(before)))
    found.check()
    assert len(waited) == 1


def test_what_stays_away_is_named(folder):
    found = Given.now("prepare")
    (folder / "params.yaml").unlink()
    with pytest.raises(GivenChangedError, match=r"params\.yaml"):
        found.check()


def test_the_stages_of_one_run_have_the_parameters_of_its_first(folder):
    def stage():
        return Given.now("prepare")

    stage().check_as_begun("dvc 1")
    stage().check_as_begun("dvc 1")
    tree = yaml.safe_load((folder / "params.yaml").read_text()) | {"runtime": {"workers": 2}}  # DVC keeps nothing of it
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    stage().check_as_begun("dvc 1")
    write_params(folder, gallery=9)
    with pytest.raises(GivenChangedError, match=r"while the pipeline ran this changed: evaluation\.gallery 3 → 9"):
        stage().check_as_begun("dvc 1")
    stage().check_as_begun("dvc 2")


def test_a_stage_that_dvc_starts_looks_before_it_loads_anything(folder):
    code = "from pindet.given import *; begin(); (given := begun()) and print(given.stage, *given.files)"
    told = {key: value for key, value in os.environ.items() if key != "DVC_STAGE"}

    def run(**more):
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=folder, env=told | more, capture_output=True, text=True, timeout=240)

    assert run().stdout == ""
    assert run(DVC_STAGE="prepare").stdout.split() == ["prepare", "code.py", "raw/a.txt"]
    (folder / "params.yaml").write_text("seed: [")
    assert "params.yaml cannot be read" in run(DVC_STAGE="prepare").stderr


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
