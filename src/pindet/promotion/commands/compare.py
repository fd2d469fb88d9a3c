"""``pindet compare``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pindet.promotion.commands.options import DvcRemote, GitRemote, Json, MeasureAgain, Mlflow, access, complete_revs
from pindet.promotion.commands.output import Output, exiting

if TYPE_CHECKING:
    from pindet.promotion.bench import Bench
    from pindet.promotion.comparison.sides import Sides


class Format(StrEnum):
    """How a comparison is printed."""

    table = "table"
    markdown = "markdown"


def compare_command(
    revs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REV]...", autocompletion=complete_revs,
            help="Commits, branches, experiments, versions, stages, champion, workspace. Others are compared with the "
            "first; by default champion and workspace.",
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help="What is printed.")] = Format.table,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page with pictures.")] = None,
    measure_again: MeasureAgain = False,
    pictures: Annotated[int, typer.Option(help="Most images that the page shows of each.")] = 12,
    remote: DvcRemote = None,
    git_remote: GitRemote = None,
    mlflow: Mlflow = True,
    fetch: Annotated[bool, typer.Option(help="Ask the git remote which versions there are.")] = True,
    json: Json = False,
) -> None:  # fmt: skip
    """Put revisions side by side: parameters, data, measures with intervals, latency, size.

    The exit status is 0 when all could be compared, 3 when some were measured on other test data, 1 otherwise.
    """
    from pindet.promotion.bench import open_bench
    from pindet.promotion.comparison.sides import compare_sides

    output = Output(json)
    with (
        exiting("compare", output),
        open_bench(Path.cwd(), access(git_remote, remote, mlflow), refresh=fetch, must_reach=False) as bench,
        output.telling(bench.away),
    ):
        revisions = [bench.revision(rev) for rev in revs or _default(bench)]
        sides = compare_sides(bench, revisions, again=measure_again)
        _say(bench, sides, output, format, html, pictures)
        if any(side.problem for side in sides.sides):
            if not measure_again:
                output.step("--measure-again lets the bundles answer the test images of the last revision", "hint")
            raise typer.Exit(3)


def _say(bench: Bench, sides: Sides, output: Output, format: Format, html: Path | None, pictures: int) -> None:
    from pindet.files import write_text
    from pindet.promotion.comparison.page import to_page
    from pindet.promotion.comparison.text import show, to_markdown

    if html is not None:
        write_text(html, to_page(bench, sides, pictures))
        output.step(f"page written to {html}", "done")
    if output.as_json:
        output.json(sides.to_dict() | {"unknown": list(bench.away.values())})
    elif format is Format.markdown:
        typer.echo(to_markdown(sides), nl=False)
    else:
        show(sides, output.result)


def _default(bench: Bench) -> list[str]:
    placed = bench.truth.placed("production")
    return ["champion", "workspace"] if placed else ["HEAD", "workspace"]
