"""What the commands say: lines on the standard error while they work, the result on the standard output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from pindet.promotion.errors import told
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.verdict import Judgement, Verdict

_MARKS = {Judgement.passed: "[green]✓[/]", Judgement.warned: "[yellow]![/]", Judgement.refused: "[red]✗[/]"}
_LINKS = {State.holds: "[green]✓[/]", State.unknown: "[yellow]?[/]", State.broken: "[red]✗[/]"}
_STEPS = {"done": "[green]✓[/] {}", "already": "[dim]· {} (already there)[/]", "wanted": "[yellow]![/] {} (to do)"}


class Output:
    """Says what happens, unless JSON was asked for."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.result = Console(highlight=False, soft_wrap=True)

    def verdict(self, verdict: Verdict) -> None:
        """Say what a gate says."""
        if not self.as_json:
            self.console.print(f"{_MARKS[verdict.judgement]} {escape(verdict.gate)}: {escape(verdict.reason)}")

    def step(self, name: str, what: str) -> None:
        """Say what became of a step."""
        if not self.as_json:
            self.console.print(_STEPS.get(what, "  {}").format(escape(name)))

    def link(self, link: Link) -> None:
        """Say what a step of a lineage came to."""
        if not self.as_json:
            text = f"{link.about:>14}  {link.found}  "
            self.result.print(f"{_LINKS[link.state]} {escape(text)}[dim]{escape(link.check)}[/]")

    def quote(self, text: str) -> None:
        """Pass on a line that another program says."""
        self.console.print(f"[dim]  {escape(text)}[/]")

    def line(self, text: str) -> None:
        """Say a line of the result."""
        if not self.as_json:
            self.result.print(escape(text))

    @contextmanager
    def telling(self, away: Mapping[str, str]) -> Iterator[None]:
        """Say in the end what could not be reached meanwhile, whatever was asked for."""
        try:
            yield
        finally:
            for text in away.values():
                self.console.print(f"[yellow]?[/] {escape(f'unknown: {text}')}")

    def json(self, content: dict[str, Any]) -> None:
        """Answer with JSON, if it was asked for."""
        if self.as_json:
            typer.echo(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1))


@contextmanager
def exiting(command: str, output: Output, outcome: Callable[[Any], dict[str, Any]] = lambda _: {}) -> Iterator[None]:
    """Turn an error into a line, JSON if it was asked for, and the exit status that is its own, or 1."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        code = int(getattr(error, "exit_code", 1))
        output.json({**outcome(error), "error": told(error), "exit_code": code})
        typer.echo(f"pindet {command}: {told(error)}", err=True)
        raise typer.Exit(code) from error
