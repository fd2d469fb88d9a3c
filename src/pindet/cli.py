"""The command ``pindet``. Each command imports what it needs when it runs, so that ``pindet`` starts at once."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pindet.predict.command import predict_command
from pindet.project import PARAMS
from pindet.promotion.commands import register
from pindet.promotion.commands.options import Json
from pindet.promotion.commands.output import Output, exiting
from pindet.stage import CONF
from pindet.sweep.command import sweep_command
from pindet.tracking.commands import send_command, ui_command
from pindet.unlock import unlock_command

if TYPE_CHECKING:
    from pindet.compose import Differences

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Reproducible object detection, pinned from the data to the served prediction.",
)

app.command("predict")(predict_command)
app.command("ui")(ui_command)
app.command("sweep")(sweep_command)
app.command("unlock")(unlock_command)
track = typer.Typer(no_args_is_help=True, help="What MLflow was told of the trainings.")
track.command("send")(send_command)
app.add_typer(track, name="track")
register(app)


@app.command()
def params(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="As after -S of dvc exp run: training.lr=1e-3 +experiment=bccd")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say which overrides are in force; change nothing.")] = False,
    save: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the overrides in force as conf/experiment/NAME.yaml.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --save: replace an experiment of that name.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="With --check: answer with JSON on the standard output.")
    ] = False,
) -> None:
    """Compose params.yaml from conf/ exactly as DVC does.

    With --check the exit status is 0 when params.yaml is what conf/ composes, 1 when overrides are in force, 2 when
    the structure differs or something is wrong that no stage could work with.
    """
    from pindet.compose import compose_into, differences
    from pindet.experiment import save_experiment
    from pindet.given import check_nothing_runs
    from pindet.params import check_params, load_tree, missing_root

    if force and save is None:
        raise ValueError("--force replaces an experiment and goes with --save NAME")
    if json and not check:
        raise ValueError("--json goes with --check")
    if sum([bool(overrides), check, save is not None]) > 1:
        raise ValueError("overrides, --check and --save exclude one another; give one of them")
    if check:
        raise typer.Exit(_say_differences(Output(json)))
    if save is None:
        check_nothing_runs()
        compose_into(PARAMS, CONF, overrides or [], accept=check_params)
        if why := missing_root(load_tree(PARAMS)):
            typer.echo(f"pindet: {why}", err=True)
        return
    found = differences(load_tree(PARAMS), CONF)
    typer.echo(f"wrote {save_experiment(save, found, PARAMS, CONF, replace=force)}")


def _say_differences(output: Output) -> int:
    """Say how params.yaml differs from conf/, and what is wrong with it; return the exit status."""
    from pindet.compose import differences
    from pindet.params import ParamsError, check_params, load_tree, missing_root

    try:
        tree = load_tree(PARAMS)
        found = differences(tree, CONF)
        if not output.as_json:
            _say_each(found)
        check_params(PARAMS)
    except ParamsError as error:
        output.json({"error": str(error), "exit_code": 2})
        typer.echo(f"pindet: {error}", err=True)
        return 2
    output.json({"overrides": found.overrides, "structure": found.structure, "exit_code": found.exit_code})
    if why := missing_root(tree):
        typer.echo(f"pindet: {why}", err=True)
    return found.exit_code


def _say_each(found: Differences) -> None:
    for override in found.overrides:
        typer.echo(f"-S {shlex.quote(override)}")
    for key in found.structure:
        typer.echo(f"structure: {key}")


@app.command()
def summary(json: Json = False) -> None:
    """Show the test metrics per class, where report and bundle are, and what to type next."""
    from pindet.summary import show_summary, summarized

    output = Output(json)
    with exiting("summary", output):
        if json:
            output.json(summarized())
        else:
            show_summary(Console())


@track.callback()
def _track() -> None:
    """Keep `send` a command of its own: Typer takes a single one for the group itself."""


@app.command("plots-page")
def plots_page() -> None:
    """Let `dvc plots` write pages that open without a network."""
    from pindet.plots_page import write_plots_page

    write_plots_page(Path.cwd())


def main() -> None:
    """Run the command; an error of the user's is one line, and the exit status 1."""
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"pindet: {error}", err=True)
        sys.exit(1)
