"""A copy of what a host has of the project, and the scripts run in it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FILES = ["docker-compose.prod.yml", "docker-compose.prod.mlops.yml", ".env.prod.example", "docker", "scripts"]


class Host:
    """A folder that the scripts take for the project, without touching this one."""

    def __init__(self, root):
        self.root, self.settings = root, root / ".env.prod"

    def run(self, script, *arguments, **environment):
        """Run a script; its exit status and everything it said."""
        done = subprocess.run(
            [str(self.root / "scripts" / script), *arguments], capture_output=True, text=True, timeout=240,
            env=os.environ | {"PINDET_ROOT": str(self.root)} | environment, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def set(self, name, value):
        """Change a setting."""
        lines = [line for line in self.settings.read_text().splitlines() if not line.startswith(f"{name}=")]
        self.settings.write_text("\n".join([*lines, f"{name}={value}"]) + "\n")


class Docker:
    """A docker that notes what it is asked, and answers as it is told to.

    Args:
        folder: where it lies.
        answers: cases of a shell's ``case`` on everything that it was asked, the first that fits; the others succeed.
    """

    def __init__(self, folder, answers=""):
        folder.mkdir()
        self._log, program = folder / "asked", folder / "docker"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self._log}\ncase "$*" in\n{answers}\nesac\n')
        program.chmod(0o755)
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}

    def asked(self):
        """Every question, one a line."""
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "host"
    root.mkdir()
    for name in FILES:
        (root / name).symlink_to(PROJECT / name)
    return Host(root)


def has_compose():
    """Whether `docker compose` is here; an engine is not needed to read files."""
    return (
        shutil.which("docker") is not None
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def compose():
    if not has_compose():
        pytest.skip("docker compose is not installed")


@pytest.fixture
def docker(tmp_path):
    """Makes the docker that the scripts of a test ask."""
    return lambda answers="": Docker(tmp_path / "tools", answers)
