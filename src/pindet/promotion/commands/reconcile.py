"""``pindet reconcile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pindet.promotion.commands.options import DvcRemote, GitRemote, Json, Mlflow, access
from pindet.promotion.commands.output import Output, exiting


def reconcile_command(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is out of line; then the exit status is 3.")
    ] = False,
    remote: DvcRemote = None,
    git_remote: GitRemote = None,
    mlflow: Mlflow = True,
    json: Json = False,
) -> None:
    """Make release files and MLflow follow the git tags, as after a promotion that was cut.

    The exit status is 0 when all is in line (afterwards), 3 with --check when something is not, 5 when something could
    not be brought in line, 1 otherwise.
    """
    from pindet.promotion.bench import open_bench
    from pindet.promotion.reconcile import reconcile

    output = Output(json)
    with (
        exiting("reconcile", output),
        open_bench(Path.cwd(), access(git_remote, remote, mlflow)) as bench,
    ):
        result = reconcile(bench, output.step, check=check)
        for stage, version in result.stages.items():
            output.line(f"{stage}: {version or 'empty'}")
        for name, why in result.ignored.items():
            output.line(f"does not count: {name} ({why})")
        for stage in result.untagged:
            output.line(f"no tag ever filled {stage}, but it has a release file; remove it, or promote to it")
        for text in result.failed:
            output.line(f"failed: {text}")
        output.json(result.to_dict())
        if result.failed:
            raise typer.Exit(5)
        if check and (result.changed or result.untagged):
            raise typer.Exit(3)
