"""The git repository of a project, asked through the ``git`` command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pindet.promotion.errors import PromotionError

ANSWER_WITHIN = 120.0
"""Seconds; a push over a slow line takes some."""


class GitError(PromotionError):
    """Git refused; ``said`` is what it said."""

    def __init__(self, arguments: tuple[str, ...], said: str) -> None:
        super().__init__(f"git {' '.join(arguments)} failed: {said.strip()[:1000]}")
        self.said = said


class GitTimeoutError(GitError):
    """Git did not answer in time and was ended; what it had asked a remote for may still be done there."""


class Repository:
    """A project's git repository.

    Args:
        root: its working tree.
        remote: name of the git remote that others share; ``None`` takes ``origin`` if there is one, and the
            repository itself if not.

    Raises:
        PromotionError: there is no such repository, or no such remote.
    """

    def __init__(self, root: Path, remote: str | None = None) -> None:
        self.root = root
        try:
            self.run("rev-parse", "--git-dir")
            remotes = self.run("remote").split()
        except GitError as error:
            raise PromotionError(
                f"{root} is no git repository ({error.said.strip()}); run this in the project"
            ) from error
        if remote and remote not in remotes:
            raise PromotionError(f"there is no git remote {remote!r}; there are {', '.join(remotes) or 'none'}")
        self.remote: str | None = remote or ("origin" if "origin" in remotes else None)

    def run(self, *arguments: str, given: str | None = None, environment: Mapping[str, str] | None = None) -> str:
        """Return what a git command says on its standard output.

        Raises:
            GitError: its exit status is not 0.
        """
        return self._bytes(arguments, given, environment).decode("utf-8", "replace")

    def read(self, commit: str, path: str) -> bytes | None:
        """A file as a commit has it; ``None`` if it has none."""
        try:
            return self._bytes(("cat-file", "blob", f"{commit}:{path}"), None, None)
        except GitError as error:
            if "does not exist" in error.said or "exists on disk" in error.said or "Not a valid object" in error.said:
                return None
            raise

    def blob(self, name: str) -> bytes:
        """The bytes of a blob by its git name."""
        return self._bytes(("cat-file", "blob", name), None, None)

    def commit(self, rev: str) -> str | None:
        """The full name of the commit that a revision names; ``None`` if it names none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}").strip()
        except GitError:
            return None

    def is_shallow(self) -> bool:
        """Whether older commits were left out when the repository was cloned."""
        return self.run("rev-parse", "--is-shallow-repository").strip() == "true"

    def changed(self) -> list[str]:
        """Paths that differ from the last commit, untracked ones included."""
        listed = self.run("status", "--porcelain", "-z", "--untracked-files=normal")
        return [entry[3:] for entry in listed.split("\0") if len(entry) > 3 and entry[2] == " "]

    def _bytes(self, arguments: tuple[str, ...], given: str | None, environment: Mapping[str, str] | None) -> bytes:
        quiet = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # no password is asked for; messages are compared below
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), *arguments],
                input=None if given is None else given.encode(),
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True, timeout=ANSWER_WITHIN, env=os.environ | quiet | dict(environment or {}),
            )  # fmt: skip
        except FileNotFoundError as error:
            raise PromotionError("the command git is missing; install git") from error
        except subprocess.TimeoutExpired as error:
            raise GitTimeoutError(arguments, f"no answer in {ANSWER_WITHIN:.0f} s") from error
        if done.returncode:
            raise GitError(arguments, done.stderr.decode("utf-8", "replace") or f"exit status {done.returncode}")
        return done.stdout
