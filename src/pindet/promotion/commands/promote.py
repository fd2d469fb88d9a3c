"""``pindet promote``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pindet.promotion.commands.options import (
    DryRun,
    DvcRemote,
    GitRemote,
    Json,
    MeasureAgain,
    Message,
    Mlflow,
    Stage,
    access,
    complete_commits,
)
from pindet.promotion.commands.output import Output, exiting
from pindet.promotion.versions import Bump


def promote_command(
    stage: Stage = "production",
    rev: Annotated[
        str | None,
        typer.Option(help="Commit, branch, tag, experiment, version; default HEAD.", autocompletion=complete_commits),
    ] = None,
    bump: Annotated[Bump, typer.Option(help="Which number of the version grows.")] = Bump.minor,
    version: Annotated[str, typer.Option(help="The new version, as v2.0.0; by default the next one.")] = "",
    message: Message = "",
    measure_again: MeasureAgain = False,
    override_comparison: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote whatever the comparison says; the tag keeps the reason."),
    ] = None,
    dry_run: DryRun = False,
    remote: DvcRemote = None,
    git_remote: GitRemote = None,
    mlflow: Mlflow = True,
    json: Json = False,
) -> None:
    """Release what a commit pins: to servers, to git, to MLflow.

    The exit status is 0 when it is released (or would be, with --dry-run), 3 when a gate is closed, 4 when another
    promotion was faster, 5 when it is tagged but a later step failed (pindet reconcile finishes it), 1 otherwise.
    """
    from pindet.promotion.bench import open_bench
    from pindet.promotion.halfway import telling_how_far
    from pindet.promotion.promote import Wish, promote

    for option, value in (("--rev", rev), ("--override-comparison", override_comparison)):
        if value is not None and not value.strip():
            raise typer.BadParameter("it is empty; give one, or leave the option out", param_hint=option)
    output = Output(json)
    wish = Wish(stage, rev or "", version, bump, message, measure_again, override_comparison or "")
    with (
        exiting("promote", output, outcome_of),
        open_bench(Path.cwd(), access(git_remote, remote, mlflow)) as bench,
        telling_how_far(bench, stage, output.step) as say,
    ):
        outcome = promote(bench, wish, output.verdict, say, dry_run=dry_run)
        output.line(outcome.shown(bench.settings.artifact))
        output.json(outcome.to_dict())


def outcome_of(error: Any) -> dict[str, Any]:
    """What is known of a promotion that failed."""
    outcome = getattr(error, "outcome", None)
    return {} if outcome is None else outcome.to_dict()
