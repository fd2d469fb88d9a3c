"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pindet.promotion.bench import Access


def complete_stages(incomplete: str) -> list[str]:
    """Stages that a tag of this clone fills."""
    return [name for name in _names()[0] if name.startswith(incomplete)]


def complete_versions(incomplete: str) -> list[str]:
    """Versions that a tag of this clone registers."""
    return [name for name in _names()[1] if name.startswith(incomplete)]


def complete_revs(incomplete: str) -> list[str]:
    """Versions, stages, branches and experiments of this clone, and its workspace."""
    stages, versions, others = _names()
    return [name for name in [*versions, *stages, "champion", "workspace", *others] if name.startswith(incomplete)]


def complete_commits(incomplete: str) -> list[str]:
    """The same without the workspace."""
    return [name for name in complete_revs(incomplete) if name != "workspace"]


Json = Annotated[bool, typer.Option("--json", help="Answer with JSON on the standard output, and nothing else there.")]
Stage = Annotated[str, typer.Option(help="The stage.", autocompletion=complete_stages)]
DvcRemote = Annotated[str | None, typer.Option("--remote", help="DVC remote; by default the project's.")]
GitRemote = Annotated[
    str | None, typer.Option(help="Git remote that shares the tags; by default origin, if it is there.")
]
Mlflow = Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="Use MLflow: its runs, versions and aliases.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what every gate says; change nothing.")]
MeasureAgain = Annotated[
    bool, typer.Option("--measure-again", help="Let what was measured on other test images answer the new ones.")
]
Message = Annotated[str, typer.Option("--message", "-m", help="What the tag says.")]


def access(git_remote: str | None, dvc_remote: str | None, mlflow: bool) -> Access:
    """The remotes that the options name."""
    from pindet.promotion.bench import Access

    return Access(git_remote, dvc_remote, mlflow)


def _names() -> tuple[list[str], list[str], list[str]]:
    from pindet.promotion.repository import Repository
    from pindet.promotion.settings import read_settings
    from pindet.promotion.tags import read_truth

    try:
        repository = Repository(Path.cwd())
        truth = read_truth(repository, read_settings(Path.cwd()).artifact, refresh=False)
        branches = repository.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
        experiments = repository.run("for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps/??/*/*")
    except (ValueError, OSError):
        return [], [], []
    return truth.stages, list(truth.versions), sorted({*branches.split(), *experiments.split()})
