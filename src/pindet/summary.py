"""What a finished pipeline has made, on one screen."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from pindet.compose import differences
from pindet.params import ParamsError, load_tree
from pindet.stage import CONF, PARAMS

METRICS = Path("metrics.json")
REPORT = Path("reports/evaluate/report.html")
BUNDLE = Path("models/bundle")
MANIFEST = BUNDLE / "manifest.json"
NEXT = (
    ("make ui", "compare this run with others in MLflow"),
    ("pindet predict PATH… --format image --out out", "try the detector on images of yours"),
    ("dvc exp run OVERRIDES-S training.epochs=40", "try another setting, then compare: dvc exp show"),
)


class NothingToSummarizeError(FileNotFoundError):
    """The pipeline has not run to its end yet."""


def show_summary(console: Console, root: Path = Path()) -> None:
    """Print test metrics per class, where report and bundle are, and three commands worth typing next.

    Raises:
        NothingToSummarizeError: ``metrics.json`` or the bundle is missing.
    """
    for path in (METRICS, MANIFEST):
        if not (root / path).is_file():
            raise NothingToSummarizeError(f"{path} is missing: the pipeline has not run to its end; run `make repro`")
    metrics: dict[str, float] = json.loads((root / METRICS).read_text(encoding="utf-8"))
    classes: list[str] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["classes"]
    console.print(_page(metrics, classes, _overrides(root)))


def _overrides(root: Path) -> str:
    """What is in force, to be given again: `dvc exp run` composes the parameters anew."""
    try:
        found = differences(load_tree(root / PARAMS), root / CONF)
    except ParamsError:
        return ""
    return "".join(f"-S {shlex.quote(override)} " for override in found.overrides)


def _page(metrics: dict[str, float], classes: list[str], overrides: str) -> RenderableType:
    table = Table(title="Test split", title_justify="left", caption_justify="left")
    table.add_column("class")
    for name in ("mAP 50–95", "mAP 50"):
        table.add_column(name, justify="right")
    for name in classes:
        table.add_row(escape(name), _cell(metrics, f"test/map/{name}"), _cell(metrics, f"test/map_50/{name}"))
    table.add_section()
    table.add_row("all classes", _cell(metrics, "test/map"), _cell(metrics, "test/map_50"), style="bold")
    places = Table.grid(padding=(0, 2))
    places.add_column(no_wrap=True)
    places.add_column()
    places.add_row("report", str(REPORT))
    places.add_row("bundle", str(BUNDLE))
    places.add_row("", "")
    places.add_row("[bold]source .venv/bin/activate[/bold]", "once in a new shell; then:")
    for command, purpose in NEXT:
        places.add_row(f"[bold]{escape(command.replace('OVERRIDES', overrides))}[/bold]", purpose)
    return Group(table, "", places)


def _cell(metrics: dict[str, float], key: str) -> str:
    return f"{metrics[key]:.3f}" if key in metrics else "–"
