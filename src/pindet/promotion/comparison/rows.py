"""A comparison as rows of text, which every form of it shows."""

from __future__ import annotations

from dataclasses import dataclass

from pindet.evaluation.bootstrap import ALL, Estimate
from pindet.promotion.comparison.sides import Side, Sides


@dataclass(frozen=True)
class Cell:
    """A text and whether it is surely ``better`` or ``worse`` than the baseline, or neither."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Row:
    """A name and one cell for each side."""

    name: str
    cells: list[Cell]


def heading(side: Side) -> str:
    """How a side is called."""
    version = f" {side.version}" if side.version and side.version not in side.shown else ""
    return f"{side.shown}{version}{' (measured again)' if side.is_again else ''}"


def facts(sides: Sides) -> list[Row]:
    """What each side is."""
    latencies = [Cell("–" if side.latency_ms is None else f"{side.latency_ms:.1f} ms") for side in sides.sides]
    rows = [
        Row("commit", [Cell(side.commit[:10]) for side in sides.sides]),
        Row("bundle", [Cell(side.bundle_md5[:10] or "–") for side in sides.sides]),
        Row("prepared data", [Cell(side.data_md5[:10] or "–") for side in sides.sides]),
        Row("model size", [Cell("–" if s.bytes is None else f"{s.bytes / 2**20:.1f} MiB") for s in sides.sides]),
        Row("median latency at its export", latencies),
    ]
    return rows + [Row(key, [Cell(value) for value in values]) for key, values in sides.changed_params.items()]


def measures(sides: Sides) -> list[Row]:
    """How good each side is, and how much better than the baseline."""
    rows = [Row("mAP 50–95", [_measure(side, ALL) for side in sides.sides])]
    rows += [Row(name, [_measure(side, name) for side in sides.sides]) for name in sides.classes]
    f1 = [_cell(side.f1, side.difference.f1 if side.difference else None) for side in sides.sides]
    return [*rows, Row("F1 (own threshold)", f1)]


def problems(sides: Sides) -> list[str]:
    """Why sides can not be compared with the baseline."""
    return [f"{side.problem}: not compared" for side in sides.sides if side.problem]


def flattered(sides: Sides) -> list[str]:
    """Which sides have learnt from images that they are measured on."""
    return [
        f"{heading(side)}: had learnt from or was chosen with {side.learnt_from} of the {len(answers.names)} test "
        "images, which flatters it"
        for side, answers in zip(sides.sides, sides.answers, strict=True)
        if side.learnt_from
    ]


def not_run(sides: Sides) -> list[str]:
    """Which parameters that are shown are not those that a side's results were made with."""
    return [
        f"{heading(side)}: not made with {', '.join(side.not_run)} as shown here; dvc repro runs it"
        for side in sides.sides
        if side.not_run
    ]


def _measure(side: Side, name: str) -> Cell:
    if name not in side.map:
        return Cell("–")
    return _cell(side.map[name], side.difference.map.get(name) if side.difference else None)


def _cell(own: Estimate, change: Estimate | None) -> Cell:
    if change is None or not own.is_defined or not change.is_defined:
        return Cell(own.shown())
    tone = "better" if change.low > 0 else "worse" if change.high < 0 else ""
    return Cell(f"{own.value:.3f}  {change.shown('+.3f')}", tone if change.has_width else "")
