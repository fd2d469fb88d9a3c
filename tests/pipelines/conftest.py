"""A copy of the project with parameters so small that its four stages run in seconds, under real git and real DVC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COPIED = [
    "conf", "notebooks", "pipelines", "requirements", "serve", "src", "dvc.yaml", "params.yaml", "pyproject.toml",
    ".dvc/config", ".dvc/.gitignore", ".dvc/plots", ".dvcignore", ".gitignore",
]  # fmt: skip
TINY = {
    "data": {
        "train_images": 8, "val_images": 4, "test_images": 4, "image_height": 128, "image_width": 160,
        "max_objects": 4, "shard_count": 2,
    },
    "model": {"image_height": 96, "image_width": 96},
    "training": {"epochs": 6, "batch_size": 2, "lr": 0.01, "warmup": 0.0, "ema_decay": 0.8},
}  # fmt: skip


class Project:
    """A project folder and the commands that a user types in it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))
        } | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_GLOBAL_CONFIG_DIR": str(scratch / "config"),
            "DVC_SITE_CACHE_DIR": str(scratch / "site"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **dict.fromkeys(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"], "test"),
            **dict.fromkeys(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"], "test@localhost"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *command, status=0, **environment):
        """Run a command in the project's root and return what it said; fails unless the exit status is as expected."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.root, env=self.environment | environment, text=True, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == status, f"{command} exited {done.returncode}:\n{done.stdout[-6000:]}"
        return done.stdout

    def dvc(self, *arguments, status=0, **environment):
        return self.run("dvc", *arguments, status=status, **environment)

    def commit(self, message="work"):
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    @property
    def params(self):
        return yaml.safe_load((self.root / "params.yaml").read_text(encoding="utf-8"))

    def lock(self, stage):
        return yaml.safe_load((self.root / "dvc.lock").read_text(encoding="utf-8"))["stages"][stage]

    def outs(self):
        """The md5 of everything that the four stages made."""
        stages = yaml.safe_load((self.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def copy_project(folder: Path, scratch: Path) -> Project:
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target)
    tiny = "# @package _global_\n" + yaml.safe_dump(TINY)
    (folder / "conf/experiment/tiny.yaml").write_text(tiny, encoding="utf-8")
    project = Project(folder, scratch)
    project.run("git", "init", "-q", "-b", "main")
    project.run("pindet", "params", "+experiment=tiny")
    project.commit("begin")
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A tiny project after `dvc repro`, committed; tests copy it or leave it as it is."""
    project = copy_project(tmp_path_factory.mktemp("finished"), tmp_path_factory.mktemp("dvc"))
    project.said = project.dvc("repro")
    project.commit("first run")
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project that a test may change."""
    shutil.copytree(finished.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", tmp_path)
