"""What a commit pins: its ``dvc.lock``, parameters and metrics, read from git without a checkout."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from pindet.promotion.errors import PromotionError, unreadable
from pindet.promotion.repository import Repository
from pindet.promotion.truth import Truth

BUNDLE = "models/bundle"
PREPARED = "data/prepared"
WEIGHTS = "models/weights.safetensors"
EVALUATION = "reports/evaluate"
WORKSPACE = "workspace"
CHAMPION = "champion"
RESERVED = (CHAMPION, WORKSPACE, "HEAD")
"""What :func:`find_revision` finds under a name, whatever stage has it."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Revision:
    """A commit, or the workspace, and how its files are read.

    Attributes:
        shown: as its user named it.
        commit: 40 hex digits; of the workspace, those of its last commit.
        read: gives a file's bytes by its path, or ``None``.
        is_workspace: whether the files are those of the working tree.
    """

    shown: str
    commit: str
    read: Callable[[str], bytes | None]
    is_workspace: bool = False

    @cached_property
    def lock(self) -> dict[str, Any]:
        """The stages of ``dvc.lock``.

        Raises:
            PromotionError: there is none, or it is not as DVC writes it.
        """
        from dvc.schema import COMPILED_LOCKFILE_SCHEMA
        from voluptuous import Invalid

        content = self._yaml("dvc.lock")
        if content is None:
            raise PromotionError(f"{self.shown} has no dvc.lock; run `make repro` and commit what it writes")
        try:
            COMPILED_LOCKFILE_SCHEMA(content)
            stages: dict[str, Any] = content["stages"]
        except (Invalid, KeyError) as error:
            raise PromotionError(
                f"dvc.lock of {self.shown} is not as DVC writes it ({error}); restore it with git, or delete it and "
                "run dvc repro"
            ) from error
        return stages

    @cached_property
    def outs(self) -> dict[str, str]:
        """The md5 of everything that the stages made and git does not keep, by path."""
        listed = [out for stage in self.lock.values() for out in stage.get("outs", []) if out.get("md5")]
        files = [str(out["path"]) for out in listed if not str(out["md5"]).endswith(".dir")]
        in_git = set() if self.is_workspace else {path for path in files if self.read(path) is not None}
        not_cached = in_git | _uncached(self._yaml("dvc.yaml"))
        return {str(out["path"]): str(out["md5"]) for out in listed if out["path"] not in not_cached}

    @cached_property
    def params(self) -> dict[str, Any]:
        """The parameters of the commit, nested by group.

        Raises:
            PromotionError: ``params.yaml`` holds something else.
        """
        content = self._yaml("params.yaml")
        if not isinstance(content, dict | None):
            raise PromotionError(
                f"params.yaml of {self.shown} is {reprlib.repr(content)}; allowed is a mapping, as pindet params "
                "composes it"
            )
        return content or {}

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics of the commit, ``test/map`` and so on; finite numbers.

        Raises:
            PromotionError: ``metrics.json`` holds something else.
        """
        content = self.read("metrics.json")
        try:
            metrics = {} if content is None else json.loads(content)
        except ValueError as error:
            raise self._no_metrics(f"no JSON ({error})") from error
        if not isinstance(metrics, dict):
            raise self._no_metrics(reprlib.repr(metrics))
        for name, value in metrics.items():
            if not _is_finite(value):
                raise self._no_metrics(f"{reprlib.repr(value)} for {name}")
        return dict(metrics)

    def out(self, path: str) -> str:
        """The md5 of what a stage made.

        Raises:
            PromotionError: no stage made it.
        """
        if path not in self.outs:
            raise PromotionError(f"dvc.lock of {self.shown} pins no {path}; run dvc repro there and commit dvc.lock")
        return self.outs[path]

    def _no_metrics(self, seen: str) -> PromotionError:
        return PromotionError(
            f"metrics.json of {self.shown} has {seen}; allowed are names with finite numbers. Run dvc repro evaluate, "
            "and commit it with dvc.lock"
        )

    def _yaml(self, path: str) -> Any:
        content = self.read(path)
        try:
            return None if content is None else yaml.load(content, Loader=_Loader)
        except yaml.YAMLError as error:
            raise unreadable(f"{path} of {self.shown}", error) from error


def revision_of_commit(repository: Repository, commit: str, shown: str = "") -> Revision:
    """The revision that is a commit."""
    return Revision(shown or commit[:7], commit, lambda path: repository.read(commit, path))


def workspace_revision(repository: Repository) -> Revision:
    """The revision that is the working tree."""

    def read(path: str) -> bytes | None:
        file = repository.root / path
        return file.read_bytes() if file.is_file() else None

    return Revision(WORKSPACE, repository.commit("HEAD") or "", read, is_workspace=True)


def find_revision(repository: Repository, truth: Truth, rev: str) -> Revision:
    """The revision of a name: a version, a stage or ``champion``, ``workspace``, an experiment, or any of git's.

    Raises:
        PromotionError: nothing has that name, or two experiments have it.
    """
    if not rev.strip():
        raise PromotionError("the name of a revision is empty; give a commit, branch, tag, experiment or version")
    if rev == WORKSPACE:
        return workspace_revision(repository)
    if rev in truth.versions:
        return revision_of_commit(repository, truth.versions[rev].commit, rev)
    placed = truth.placed("production" if rev == CHAMPION else rev)
    commit = repository.commit(rev) or _experiment(repository, rev)
    if placed and commit and commit != placed.commit:
        raise PromotionError(
            f"{rev!r} is a stage, which holds {placed.version}, and something else in git ({commit[:7]}); "
            f"say {placed.version}, or {commit[:7]}"
        )
    if placed:
        return revision_of_commit(repository, placed.commit, f"{placed.version} ({placed.stage})")
    if commit:
        return revision_of_commit(repository, commit, rev if rev != "HEAD" else f"HEAD ({commit[:7]})")
    deeper = "; this clone is shallow: git fetch --unshallow" if repository.is_shallow() else ""
    remote = repository.remote or "origin"
    raise PromotionError(
        f"{rev!r} is no commit, branch, tag, experiment or version here{deeper}; bring it with git fetch {remote}, "
        f"or an experiment with dvc exp pull {remote} {rev}"
    )


def _experiment(repository: Repository, name: str) -> str | None:
    listed = repository.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/??/*/*")
    pairs = [line.split(" ", 1) for line in listed.splitlines()]
    found = {ref: commit for commit, ref in pairs if ref.rpartition("/")[2] == name}
    if len(set(found.values())) > 1:
        raise PromotionError(f"several experiments are called {name!r}; name one in full: {', '.join(sorted(found))}")
    return next(iter(found.values()), None)


def _is_finite(value: Any) -> bool:
    """Whether a value of JSON is a number that every reader of JSON can take."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _uncached(pipeline: Any) -> set[str]:
    """Outs that DVC leaves to git: those with ``cache: false`` in ``dvc.yaml``."""
    stages = pipeline.get("stages") if isinstance(pipeline, Mapping) else None
    kinds = [
        stage.get(kind)
        for stage in (stages.values() if isinstance(stages, Mapping) else ())
        if isinstance(stage, Mapping)
        for kind in ("outs", "metrics", "plots")
    ]
    listed = [out for outs in kinds if isinstance(outs, list) for out in outs]
    return {
        path
        for out in listed
        if isinstance(out, Mapping)
        for path, settings in out.items()
        if isinstance(settings, Mapping) and settings.get("cache") is False
    }
