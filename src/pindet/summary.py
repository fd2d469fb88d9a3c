"""What a finished pipeline has made, on one screen."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pindet.compose import differences
from pindet.locked import changed_params
from pindet.params import ParamsError, load_tree
from pindet.project import PARAMS
from pindet.stage import CONF

METRICS = Path("metrics.json")
REPORT = Path("reports/evaluate/report.html")
BUNDLE = Path("models/bundle")
LOCK = Path("dvc.lock")
MANIFEST = BUNDLE / "manifest.json"
ANOTHER = "training.epochs=40"
NEXT = (
    ("source .venv/bin/activate", "once in a new shell; then:"),
    ("pindet predict models/bundle/golden --format image --out output", "try the detector; name images of yours"),
    ("make ui", "compare this run with others in MLflow"),
    (f"dvc exp run OVERRIDES-S {ANOTHER}", "try another setting, then compare: dvc exp show"),
)
COLUMN = 48  # a longer command pushes its own remark to the right, not those of the others


class NothingToSummarizeError(FileNotFoundError):
    """The pipeline has not run to its end yet."""


def show_summary(console: Console, root: Path = Path()) -> None:
    """Print test metrics per class, where report and bundle are, and three commands worth typing next.

    Raises:
        NothingToSummarizeError: ``metrics.json`` or the bundle is missing.
    """
    metrics, classes = _measured(root)
    console.print(_scores(metrics, classes))
    if line := reproduced(root):
        console.print(line, soft_wrap=True, highlight=False)
    for line in outdated(root):
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True, highlight=False)
    # Never broken at the width of the terminal: paths and commands are there to be copied.
    console.print(_places(_overrides(root)), soft_wrap=True, highlight=False)


def summarized(root: Path = Path()) -> dict[str, Any]:
    """The same for scripts: metrics, classes, places, and what is said of ``dvc.lock`` and of parameters.

    Raises:
        NothingToSummarizeError: ``metrics.json`` or the bundle is missing.
    """
    metrics, classes = _measured(root)
    return {
        "metrics": metrics,
        "classes": classes,
        "report": REPORT.as_posix(),
        "bundle": BUNDLE.as_posix(),
        "reproduced": reproduced(root),
        "outdated": list(outdated(root)),
    }


def reproduced(root: Path = Path()) -> str | None:
    """Compare the results with those that ``dvc.lock`` of the last commit names.

    Returns:
        One line for the reader; None where there is nothing to compare: no commit that has them, or other code, data or
        parameters than there.
    """
    path = root / LOCK
    if not path.is_file():
        return None
    shown = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], cwd=root, capture_output=True)
    if shown.returncode:
        return None
    here, there = (yaml.safe_load(text) or {} for text in (path.read_bytes(), shown.stdout))
    now, committed = dict(_outs(here)), dict(_outs(there))
    if not committed or now.keys() != committed.keys() or dict(_given(here, now)) != dict(_given(there, now)):
        return None
    differ = sorted(out for out in now if now[out] != committed[out])
    if not differ:
        return f"dvc.lock: all {len(now)} results are byte for byte those of the last commit"
    return (
        f"dvc.lock: {len(now) - len(differ)} of {len(now)} results are byte for byte those of the last commit; not the "
        f"same: {', '.join(differ)} (another kind of processor, or another OMP_NUM_THREADS, rounds in another order)"
    )


def outdated(root: Path = Path()) -> Iterator[str]:
    """Yield why what is shown is not what ``params.yaml`` and the folder have now, and what to do about it."""
    path = root / LOCK
    lock: Mapping[str, Any] = (yaml.safe_load(path.read_bytes()) if path.is_file() else None) or {}
    absent = sorted(out for out, _ in _outs(lock) if not (root / out).exists())
    if absent:
        yield f"not here: {', '.join(absent)}; `dvc checkout` brings it back, `dvc repro` makes it anew"
    try:
        params = load_tree(root / PARAMS)
    except ParamsError:
        return
    other = sorted({key for stage in lock.get("stages", {}).values() for key in changed_params(stage, params)})
    if other:
        yield f"of other parameters: {', '.join(other)} of {PARAMS} changed since; `dvc repro` runs it as it is now"


def _measured(root: Path) -> tuple[dict[str, float], list[str]]:
    """The metrics by name, and the classes."""
    for path in (METRICS, MANIFEST):
        if not (root / path).is_file():
            raise NothingToSummarizeError(f"{path} is missing: the pipeline has not run to its end; run `make repro`")
    metrics: dict[str, float] = json.loads((root / METRICS).read_text(encoding="utf-8"))
    classes: list[str] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["classes"]
    return metrics, classes


def _outs(lock: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for stage in lock.get("stages", {}).values():
        yield from ((out["path"], out["md5"]) for out in stage.get("outs", []))


def _given(lock: Mapping[str, Any], results: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """What the stages were given from outside: command, parameters, and those dependencies that no stage made."""
    for name, stage in lock.get("stages", {}).items():
        deps = {dep["path"]: dep.get("md5") for dep in stage.get("deps", []) if dep["path"] not in results}
        yield name, (stage["cmd"], stage.get("params"), deps)


def _overrides(root: Path) -> str:
    """What is in force, to be given again: `dvc exp run` composes the parameters anew."""
    try:
        found = differences(load_tree(root / PARAMS), root / CONF)
    except ParamsError:
        return ""
    kept = [override for override in found.overrides if not override.startswith(f"{ANOTHER.partition('=')[0]}=")]
    return "".join(f"-S {shlex.quote(override)} " for override in kept)


def _scores(metrics: dict[str, float], classes: list[str]) -> Table:
    table = Table(title="Test split", title_justify="left", caption_justify="left")
    table.add_column("class")
    for name in ("mAP 50–95", "mAP 50"):
        table.add_column(name, justify="right")
    for name in classes:
        table.add_row(escape(name), _cell(metrics, f"test/map/{name}"), _cell(metrics, f"test/map_50/{name}"))
    table.add_section()
    table.add_row("all classes", _cell(metrics, "test/map"), _cell(metrics, "test/map_50"), style="bold")
    return table


def _places(overrides: str) -> str:
    lines = ["", f"report  {REPORT}", f"bundle  {BUNDLE}", ""]
    for command, purpose in NEXT:
        typed = command.replace("OVERRIDES", overrides)
        lines.append(f"[bold]{escape(typed.ljust(COLUMN))}[/bold]  # {purpose}")
    return "\n".join(lines)


def _cell(metrics: dict[str, float], key: str) -> str:
    return f"{metrics[key]:.3f}" if key in metrics else "–"
