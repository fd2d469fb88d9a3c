"""Digests against those of DVC itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pindet.digests import dvc_md5, stage_key

STAGE = """
stages:
  train:
    cmd: python train.py ${seed}
    deps: [data, train.py]
    params: [seed, training]
    outs: [weights]
"""
PARAMS = "seed: 0\ntraining: {lr: 0.1}\nruntime: {workers: 0}\n"


def dvc(root: Path, *arguments: str) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "true"}
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=environment)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "b" / "leer und 人").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "b.txt").write_bytes(b"a line\r\nanother\r\n")
    (folder / "b" / "z").write_bytes(b"")
    (folder / "b" / "leer und 人" / "ü.bin").write_bytes(bytes(range(256)) * 5000)
    (folder / "b-").write_bytes(b"sorts before b/ but after b")
    (tmp_path / "train.py").write_text("pass\n")
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def test_files_and_folders_have_the_md5_of_dvc(project: Path) -> None:
    (project / "data" / "__pycache__").mkdir()
    (project / "data" / "__pycache__" / "a.pyc").write_bytes(b"ignored")
    (project / ".dvcignore").write_text("__pycache__\n")
    dvc(project, "init", "--no-scm", "--quiet")
    (project / ".dvcignore").write_text("__pycache__\n")
    dvc(project, "add", "data", "train.py")
    for name in ("data", "train.py"):
        [out] = yaml.safe_load((project / f"{name}.dvc").read_text())["outs"]
        assert dvc_md5(project / name) == out["md5"], name


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dvc_md5(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda root: (root / "params.yaml").write_text(PARAMS.replace("workers: 0", "workers: 4")), True),
        (lambda root: (root / "params.yaml").write_text(PARAMS.replace("lr: 0.1", "lr: 0.2")), False),
        (lambda root: (root / "train.py").write_text("pass  # changed\n"), False),
        (lambda root: (root / "data" / "b" / "z").write_text("changed"), False),
        (lambda root: (root / "dvc.yaml").write_text(STAGE.replace("python", "python -O")), False),
        (lambda root: (root / "weights").write_text("an out is no dependency"), True),
    ],
)
def test_the_key_of_a_stage_follows_what_it_is_given(
    project: Path, change: Callable[[Path], object], same: bool
) -> None:
    before = stage_key("train", project)
    change(project)
    assert (stage_key("train", project) == before) is same


def test_placeholders_stand_for_parameters(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS + "folder: data\n")
    literal = STAGE.replace("${seed}", "0")
    keys = set()
    for text in (STAGE, literal, literal.replace("deps: [data", "deps: ['${folder}'")):
        (project / "dvc.yaml").write_text(text)
        keys.add(stage_key("train", project))
    assert len(keys) == 1


def test_whole_and_other_parameter_files(project: Path) -> None:
    (project / "other.yaml").write_text("a: 1\nb: 2\n")
    (project / "dvc.yaml").write_text(STAGE.replace("[seed, training]", "[{other.yaml: [a]}, {params.yaml: }]"))
    before = stage_key("train", project)
    (project / "other.yaml").write_text("a: 1\nb: 3\n")
    assert stage_key("train", project) == before
    (project / "params.yaml").write_text("seed: 0\ntraining: {lr: 0.1}\nruntime: {workers: 4}\n")
    assert stage_key("train", project) != before


@pytest.mark.parametrize(
    ("dvc_yaml", "message"),
    [
        (STAGE.replace("train:", "fit:"), "no stage 'train'; its stages are fit"),
        (STAGE.replace("${seed}", "${sede}"), "names the parameter 'sede'"),
        (STAGE.replace("[seed,", "[sede,"), "names the parameter 'sede', which params.yaml does not have"),
    ],
)
def test_what_dvc_yaml_lacks_is_named(project: Path, dvc_yaml: str, message: str) -> None:
    (project / "dvc.yaml").write_text(dvc_yaml)
    with pytest.raises(ValueError, match=message):
        stage_key("train", project)
