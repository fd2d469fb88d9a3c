"""``pindet rollback``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pindet.promotion.commands.options import (
    DryRun,
    DvcRemote,
    GitRemote,
    Json,
    Message,
    Mlflow,
    Stage,
    access,
    complete_versions,
)
from pindet.promotion.commands.output import Output, exiting
from pindet.promotion.commands.promote import outcome_of


def rollback_command(
    stage: Stage = "production",
    to: Annotated[
        str, typer.Option(metavar="VERSION", help="By default the one before.", autocompletion=complete_versions)
    ] = "",
    message: Message = "",
    dry_run: DryRun = False,
    remote: DvcRemote = None,
    git_remote: GitRemote = None,
    mlflow: Mlflow = True,
    json: Json = False,
) -> None:
    """Put an earlier version into a stage again.

    Exit statuses are those of pindet promote.
    """
    from pindet.promotion.bench import open_bench
    from pindet.promotion.halfway import telling_how_far
    from pindet.promotion.rollback import rollback

    output = Output(json)
    with (
        exiting("rollback", output, outcome_of),
        open_bench(Path.cwd(), access(git_remote, remote, mlflow)) as bench,
        telling_how_far(bench, stage, output.step) as say,
    ):
        outcome = rollback(bench, stage, output.verdict, say, to=to, message=message, dry_run=dry_run)
        output.line(outcome.shown(bench.settings.artifact))
        output.json(outcome.to_dict())
