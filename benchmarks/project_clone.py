"""A project to release from that is nobody's: what ``following.py`` promotes in."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from reproducibility import environment

OWN = ("AWS_", "DATABASE_URL", "JWT_", "LOG_LEVEL", "PINDET_", "REDIS_", "RELEASE_")
"""Beginnings of environment variables that would reach from outside into a promotion or a server."""
CONFIG = """\
[core]
    remote = store
[cache]
    dir = {folder}/cache
['remote "store"']
    url = {folder}/remote
['remote "given"']
    url = {given}
"""


@dataclass(frozen=True)
class Clone:
    """A clone whose git origin, DVC remote and DVC cache lie beside it; ``variables`` are those of its commands."""

    folder: Path
    variables: dict[str, str]

    @property
    def root(self) -> Path:
        """Its working tree."""
        return self.folder / "project"

    @property
    def release_file(self) -> Path:
        """What servers watch, once something is promoted."""
        (found,) = (self.folder / "remote" / "releases").glob("*/production.json")
        return found

    def run(self, *command: str, **variables: str) -> str:
        """Run a command in it and give what it prints; what it says beside that is shown if it fails."""
        return _run(self.root, self.variables | variables, *command)

    def commit(self, message: str) -> str:
        """Commit every change, push it to the origin, and give its name."""
        self.run("git", "commit", "--quiet", "--all", "--allow-empty", "--message", message)
        self.run("git", "push", "--quiet", "origin", "HEAD:refs/heads/following")
        return self.run("git", "rev-parse", "HEAD").strip()


def clone(given: Path, folder: Path) -> Clone:
    """Clone what is committed in a project, with all that its ``dvc.lock`` pins; the project is only read."""
    made = Clone(folder, {key: value for key, value in environment(folder).items() if not key.startswith(OWN)})
    cache = _run(given, made.variables, "dvc", "cache", "dir").strip()
    origin = str(folder / "origin.git")
    _run(folder, made.variables, "git", "clone", "--quiet", "--no-hardlinks", "--bare", "--no-tags", str(given), origin)
    _run(folder, made.variables, "git", "clone", "--quiet", "--no-hardlinks", origin, str(made.root))
    for key, value in {"user.name": "Benchmark", "user.email": "benchmark@localhost", "commit.gpgSign": "false",
                       "tag.gpgSign": "false"}.items():  # fmt: skip
        made.run("git", "config", key, value)
    # The cache of the project is read like a remote, which has the same layout: nothing can be written into it.
    (made.root / ".dvc" / "config.local").write_text(CONFIG.format(folder=folder, given=cache), encoding="utf-8")
    try:
        made.run("dvc", "pull", "--quiet", "--remote", "given")
    except SystemExit as error:
        sys.exit(
            f"{error}\nThe DVC cache of {given} lacks what is committed there: run `make repro` in it, commit "
            "dvc.lock if that changed, and start again."
        )
    return made


def change_bundle(made: Clone) -> None:
    """Let the export write another bundle of the same weights, with one golden image more."""
    path = made.root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["export"]["golden_images"] += 1
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    made.run("dvc", "repro", "--single-item", "export")


def _run(folder: Path, variables: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, cwd=folder, env=variables, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout
