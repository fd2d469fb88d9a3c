"""``pindet status``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pindet.promotion.commands.options import DvcRemote, GitRemote, Json, Mlflow, access
from pindet.promotion.commands.output import Output, exiting


def status_command(
    server: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A server to ask, repeatable; by default those of promotion.yaml."),
    ] = None,
    remote: DvcRemote = None,
    git_remote: GitRemote = None,
    mlflow: Mlflow = True,
    fetch: Annotated[bool, typer.Option(help="Ask the git remote which versions there are.")] = True,
    json: Json = False,
) -> None:
    """Show where things stand: workspace, runs, releases, servers, and the drift between them.

    The exit status is 0 when everything is as the tags say, 3 when something drifts, 1 when nothing is seen to
    drift but something could not be found out, as with a DVC remote or a server out of reach.
    """
    from pindet.promotion.bench import open_bench
    from pindet.promotion.status.screen import show
    from pindet.promotion.status.state import find_state

    output = Output(json)
    with (
        exiting("status", output),
        open_bench(Path.cwd(), access(git_remote, remote, mlflow), refresh=fetch, must_reach=False) as bench,
    ):
        state = find_state(bench, server or bench.settings.servers)
        if not json:
            show(state, output.result)
        output.json(state.to_dict())
        if state.drifts:
            raise typer.Exit(3)
        if state.unknown:
            raise typer.Exit(1)
