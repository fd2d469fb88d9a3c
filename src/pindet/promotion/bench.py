"""Everything that a promotion works with, opened once: repository, objects, settings, tags and registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from pindet.promotion.errors import PromotionError, unreadable
from pindet.promotion.objects import Objects
from pindet.promotion.repository import GitError, Repository
from pindet.promotion.revision import CHAMPION, Revision, find_revision, revision_of_commit
from pindet.promotion.settings import PromotionSettings, read_settings
from pindet.promotion.tags import read_truth
from pindet.promotion.truth import Truth

if TYPE_CHECKING:
    from pindet.tracking.registry import ModelRegistry

_T = TypeVar("_T")


@dataclass
class Bench:
    """A project that is worked on.

    Attributes:
        root: its folder.
        repository: its git repository.
        objects: its DVC cache and remote.
        settings: of promotions.
        truth: what the tags said when they were read last.
        registry: MLflow's; ``None`` when the project does not track, its user wants none, or it is away.
        must_reach: whether it is an error that git's remote or MLflow can not be reached.
        away: which of the two can not be reached, ``git`` or ``MLflow``, and what is unknown for it, and why.
    """

    root: Path
    repository: Repository
    objects: Objects
    settings: PromotionSettings
    truth: Truth
    registry: ModelRegistry | None = None
    must_reach: bool = True
    away: dict[str, str] = field(default_factory=dict)

    def refresh(self) -> Truth:
        """Read the tags again."""
        self.truth = read_truth(self.repository, self.settings.artifact)
        self.objects.has_releases = bool(self.truth.tags)
        return self.truth

    def revision(self, rev: str) -> Revision:
        """The revision of a name, see :func:`pindet.promotion.revision.find_revision`.

        Raises:
            PromotionError: nothing has that name, or it is a stage that holds nothing.
        """
        try:
            return find_revision(self.repository, self.truth, rev)
        except PromotionError as error:
            stage = "production" if rev == CHAMPION else rev
            if stage not in {"production", *self.truth.stages, *self.settings.aliases} or self.truth.placed(stage):
                raise
            raise PromotionError(
                f"{rev!r} names no model: nothing is released in {stage} yet; pindet promote --stage {stage} does that"
            ) from error

    def at(self, commit: str, shown: str = "") -> Revision:
        """The revision that is a commit."""
        return revision_of_commit(self.repository, commit, shown)

    def alias(self, stage: str) -> str:
        """MLflow's alias of a stage."""
        return self.settings.aliases.get(stage, stage)

    def ask_mlflow(self, ask: Callable[[ModelRegistry], _T]) -> _T | None:
        """What MLflow answers; ``None`` without it, also when it goes away and does not have to be reached.

        Raises:
            TrackingError: it has to be, and can not.
        """
        registry = self.registry
        return None if registry is None else self._without_mlflow(lambda: ask(registry))

    def open_mlflow(self) -> None:
        """Open the registry of the project.

        Raises:
            TrackingError: it has to be reached, and can not.
        """
        from pindet.tracking.registry import ModelRegistry

        self.registry = self._without_mlflow(lambda: ModelRegistry(self.root))

    def _without_mlflow(self, ask: Callable[[], _T]) -> _T | None:
        from pindet.tracking.store import TrackingError

        try:
            return ask()
        except TrackingError as error:
            if self.must_reach:
                raise
            self.registry, self.away["MLflow"] = None, f"what MLflow knows: {error}"
            return None


@dataclass(frozen=True)
class Access:
    """Which remotes are used: of git, of DVC (``None`` is the default one), and MLflow or not."""

    git_remote: str | None = None
    dvc_remote: str | None = None
    mlflow: bool = True


@contextmanager
def open_bench(
    root: Path, access: Access = Access(), *, refresh: bool = True, registry: bool = True, must_reach: bool = True
) -> Iterator[Bench]:
    """Open a project.

    Args:
        root: a folder of it.
        access: which remotes are used.
        refresh: ask the git remote for tags.
        registry: open MLflow's registry, if the project tracks.
        must_reach: without, a git remote or an MLflow that can not be reached is noted in ``away``; the tags of this
            clone are believed.

    Raises:
        PromotionError: it is no project with git and DVC, a tag here is another than the remote's, or a remote has to
            be reached and can not.
        TrackingError: MLflow has to be reached and can not.
    """
    repository = Repository(root, access.git_remote)
    top = Path(repository.run("rev-parse", "--show-toplevel").strip())
    project = next((folder for folder in (root.resolve(), *root.resolve().parents) if (folder / ".dvc").is_dir()), None)
    if project is None or not project.is_relative_to(top.resolve()):
        raise PromotionError(f"{root} is in no DVC project; run this in the folder that holds dvc.yaml")
    if project != top.resolve():
        raise PromotionError(f"the DVC project {project} is not the top of its git repository {top}; move it there")
    repository.root = project
    settings = read_settings(project)
    objects = Objects(project, access.dvc_remote)
    try:
        away = {}
        try:
            truth = read_truth(repository, settings.artifact, refresh=refresh)
        except PromotionError as error:
            if must_reach or not _is_from_git(error):
                raise
            truth = read_truth(repository, settings.artifact, refresh=False)
            away["git"] = f"what was released since the tags of this clone: {error}"
        objects.has_releases = bool(truth.tags)
        bench = Bench(project, repository, objects, settings, truth, must_reach=must_reach, away=away)
        if registry and access.mlflow and _tracks(project):
            bench.open_mlflow()
        yield bench
    finally:
        objects.close()


def _is_from_git(error: PromotionError) -> bool:
    return isinstance(error, GitError) or isinstance(error.__cause__, GitError)


def experiment_of(root: Path) -> str:
    """The MLflow experiment that the project's trainings go to; empty if ``params.yaml`` names none."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or str(_tracking(root).get("experiment") or "")


def _tracks(root: Path) -> bool:
    return _tracking(root).get("enabled") is not False


def _tracking(root: Path) -> dict[str, Any]:
    params = root / "params.yaml"
    try:
        content = yaml.safe_load(params.read_text("utf-8")) if params.is_file() else None
    except yaml.YAMLError as error:
        raise unreadable(str(params), error) from error
    tracking = content.get("tracking") if isinstance(content, dict) else None
    return tracking if isinstance(tracking, dict) else {}
