"""A comparison on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from pindet.promotion.comparison.rows import Row, facts, flattered, heading, measures, not_run, problems
from pindet.promotion.comparison.sides import Sides

_STYLES = {"better": "green", "worse": "red", "": ""}
_SIGNS = {"better": " ▲", "worse": " ▼", "": ""}
NOTE = "Changes are against the first column, on the same draws of the test images; coloured if beyond chance."
LEGEND = "▲ better, ▼ worse than the first column beyond chance (paired bootstrap over the same test images)."


def show(sides: Sides, console: Console) -> None:
    """Print a comparison as tables."""
    parts: list[Table | str] = [_table("", facts(sides), sides), "", _table("Test images", measures(sides), sides)]
    parts += [f"[yellow]![/] {escape(text)}" for text in [*problems(sides), *flattered(sides), *not_run(sides)]]
    console.print(Group(*parts, *([f"[dim]{NOTE}[/]"] if sides.has_changes else [])))


def to_markdown(sides: Sides) -> str:
    """A comparison as Markdown, for a comment or a file."""
    lines = [f"### {' · '.join(plain(heading(side)) for side in sides.sides)}", ""]
    lines += [f"> **Not comparable.** {plain(text)}\n" for text in problems(sides)]
    lines += [f"> **Flattered.** {plain(text)}\n" for text in flattered(sides)]
    lines += [f"> **Other parameters.** {plain(text)}\n" for text in not_run(sides)]
    lines += [*_markdown_table("on the test images", measures(sides), sides), ""]
    lines += [
        "<details><summary>What differs</summary>",
        "",
        *_markdown_table("", facts(sides), sides),
        "",
        "</details>",
    ]
    if sides.has_changes:
        lines += ["", LEGEND]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|" else letter for letter in text)


def _table(title: str, rows: Sequence[Row], sides: Sides) -> Table:
    table = Table(title=title or None, title_justify="left")
    table.add_column("")
    for side in sides.sides:
        table.add_column(escape(heading(side)), overflow="fold")
    for row in rows:
        table.add_row(escape(row.name), *(f"[{_STYLES[c.tone] or 'default'}]{escape(c.text)}[/]" for c in row.cells))
    return table


def _markdown_table(corner: str, rows: Sequence[Row], sides: Sides) -> list[str]:
    head = [corner, *(heading(side) for side in sides.sides)]
    body = [[row.name, *(cell.text + _SIGNS[cell.tone] for cell in row.cells)] for row in rows]
    lines = ["| " + " | ".join(map(plain, cells)) + " |" for cells in (head, *body)]
    return [lines[0], "|---|" + "---:|" * len(sides.sides), *lines[1:]]
