"""The status on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pindet.promotion.status.state import ProjectState

_SHOWN = 3


def show(state: ProjectState, console: Console) -> None:
    """Print the status as one screen."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text, tone in _rows(state):
        table.add_row(name, f"[{tone}]{escape(text)}[/]")
    console.print(table)


def _rows(state: ProjectState) -> list[tuple[str, str, str]]:
    changed = f", {_some(state.uncommitted)} not committed" if state.uncommitted else ", all committed"
    released = f", released as {state.version}" if state.version else ""
    remedy = "dvc pull" if state.uncached else "dvc checkout"
    absent = f"not checked out: {', '.join(state.absent)}; {remedy}" if state.absent else "up to date"
    stale = f"stale: {', '.join(state.stale)}; dvc repro" if state.stale else absent
    pipeline = stale if state.asked_pipeline else "not known"
    no_run = "MLflow knows none of this bundle" if state.asked_mlflow else "MLflow was not asked"
    rows = [
        ("workspace", f"{state.commit[:10]}{released}{changed}", _tone(bool(state.uncommitted))),
        ("parameters", state.overrides, "default"),
        ("pipeline", pipeline, _tone(bool(state.stale or state.absent or not state.asked_pipeline))),
        ("bundle", state.bundle_md5 or "none; dvc repro", "default"),
        ("its run", state.run or no_run, "default"),
    ]
    if state.newest_run:
        rows.append(("newest run", state.newest_run, "default"))
    for each in state.stages:
        before = f"; before: {each.before}" if each.before else ""
        rows.append((each.stage, f"{each.version} since {each.since}, by {each.by}{before}", "green"))
    if not state.stages:
        rows.append(("released", "nothing yet; pindet promote", "default"))
    for server in state.servers:
        text = (
            f"{server.version} ({server.stage or 'workspace'}), {server.md5}" if server.is_reachable else server.problem
        )
        problem = server.drift or (server.problem if server.is_reachable else "")
        tone = "red" if problem else "green" if server.is_reachable else "yellow"
        rows.append((server.url, f"{text}{f'; {problem}' if problem else ''}", tone))
    if state.out_of_line:
        rows.append(("drift", f"{', '.join(state.out_of_line)}; pindet reconcile", "red"))
    for stage in state.untagged:
        rows.append(("drift", f"{stage} has a release file, and no tag; remove it, or promote to it", "red"))
    rows += [("unknown", text, "yellow") for text in state.unknown]
    return rows + [("note", note, "yellow") for note in state.notes]


def _tone(is_odd: bool) -> str:
    return "yellow" if is_odd else "green"


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
