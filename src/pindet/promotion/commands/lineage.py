"""``pindet lineage``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pindet.promotion.commands.options import DvcRemote, GitRemote, Json, Mlflow, access, complete_revs
from pindet.promotion.commands.output import Output, exiting

if TYPE_CHECKING:
    from pindet.promotion.bench import Bench
    from pindet.promotion.lineage.reproduce import Reproduction


def lineage_command(
    subject: Annotated[
        str,
        typer.Argument(
            autocompletion=complete_revs,
            help="workspace, a version, a stage, a revision, an md5, or a file with a server's answer (.json).",
        ),
    ] = "workspace",
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Run the pipeline of the commit in a temporary clone and compare.")
    ] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read and hash what the DVC remote has, instead of looking it up.")
    ] = False,
    remote: DvcRemote = None,
    git_remote: GitRemote = None,
    mlflow: Mlflow = True,
    fetch: Annotated[bool, typer.Option(help="Ask the git remote which versions there are.")] = True,
    json: Json = False,
) -> None:
    """Walk from a served answer back to the data, and check each hash on the way.

    The exit status is 0 when every step holds or can not be checked here, 3 when one is broken or another bundle comes
    out, 1 otherwise.
    """
    from pindet.promotion.bench import open_bench

    output = Output(json)
    with (
        exiting("lineage", output),
        open_bench(Path.cwd(), access(git_remote, remote, mlflow), refresh=fetch, must_reach=False) as bench,
        output.telling(bench.away),
    ):
        if not _walk(bench, subject, output, reproduce=reproduce, thorough=thorough):
            raise typer.Exit(3)


def _walk(bench: Bench, subject: str, output: Output, *, reproduce: bool, thorough: bool) -> bool:
    """Walk and say it; return whether nothing is broken and the same bundle comes out."""
    from pindet.promotion.lineage.link import State
    from pindet.promotion.lineage.reproduce import reproduce as make_again
    from pindet.promotion.lineage.subject import find_subject
    from pindet.promotion.lineage.walk import walk
    from pindet.tracking.values import flat_params

    start = find_subject(bench, subject)
    output.line(start.said)
    links = []
    for link in walk(bench, start, thorough=thorough):
        links.append(link)
        output.link(link)
    content: dict[str, Any] = {
        "subject": start.said,
        "links": [link.to_dict() for link in links],
        "parameters": flat_params(start.revision.params),
        "unknown": list(bench.away.values()),
    }
    holds = all(link.state is not State.broken for link in links)
    if reproduce:
        result = make_again(bench, start.revision, output.quote)
        content["reproduction"] = result.to_dict()
        holds &= result.is_same
        output.line(_said(result))
    output.json(content)
    return holds


def _said(result: Reproduction) -> str:
    if result.is_same:
        return f"reproduced: the same bundle, {result.made}"
    first = result.different[0]
    return f"another bundle came out, {result.made}; it should be {result.expected}; the first difference is in {first}"
