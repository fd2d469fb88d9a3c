"""The agent's own clone of the project: what it reads tags, pins and settings from."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

ANSWER_WITHIN = 120.0


# Tags as origin has them: one that was removed there is removed here. Experiments, and what `restore` put beside its
# finds, as their objects are kept, too.
REFS = (
    "+HEAD:refs/remotes/origin/production", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*",
    "+refs/exps/*:refs/exps/*", "+refs/restored/*:refs/restored/*",
)  # fmt: skip


class ProjectError(RuntimeError):
    """The project can not be had; the message says why."""


class Project:
    """A clone that follows its origin.

    Args:
        root: where it lies; made when it is not there.
        origin: a repository on this host, or a git URL.
        remote: address of the DVC remote.
        cache: folder of DVC's cache.
    """

    def __init__(self, root: Path, origin: str, remote: str, cache: Path) -> None:
        self.root, self._origin, self._remote, self._cache = root, origin, remote, cache

    def follow(self) -> str:
        """Bring the clone to what origin's head is, with all tags; returns the commit. One process at a time.

        Raises:
            ProjectError: origin can not be reached, or is no DVC project.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root.parent / f"{self.root.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._follow()

    def _follow(self) -> str:
        if not (self.root / ".git").is_dir():
            self._git("init", "--quiet")
        remotes = self._git("remote").split()
        self._git("remote", "set-url" if "origin" in remotes else "add", "origin", self._origin)
        self._git("fetch", "--quiet", "--no-tags", "--prune", "origin", *REFS)
        self._git("checkout", "--quiet", "--force", "--detach", "refs/remotes/origin/production")
        if not (self.root / ".dvc").is_dir():
            raise ProjectError(f"{self._origin} is no DVC project: it has no folder .dvc")
        self._configure()
        return self._git("rev-parse", "HEAD").strip()

    def _configure(self) -> None:
        """The remote and cache of this place; hard links would let one container change another's files."""
        text = (
            "[core]\n    remote = production\n    analytics = false\n    check_update = false\n"
            f"[cache]\n    dir = {self._cache}\n    type = reflink,copy\n"
            f"['remote \"production\"']\n    url = {self._remote}\n"
        )
        path = self.root / ".dvc" / "config.local"
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.root, capture_output=True, text=True, timeout=ANSWER_WITHIN, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ProjectError(f"git {arguments[0]} has no answer after {ANSWER_WITHIN:.0f} s") from error
        if done.returncode:
            raise ProjectError(f"git {arguments[0]}: {done.stderr.strip()[:500]}")
        return done.stdout


def open_project() -> Project:
    """The clone that the environment names."""
    return Project(
        Path(os.environ.get("AGENT_PROJECT", "/dvc/work/project")),
        os.environ.get("PROJECT_GIT", "/source/.git"),
        os.environ.get("DVC_REMOTE_URL", "/dvc/remote"),
        Path(os.environ.get("DVC_CACHE_DIR", "/dvc/cache")),
    )
