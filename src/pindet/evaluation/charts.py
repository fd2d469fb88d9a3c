"""Small SVG charts over the unit square, drawn with the colours of the page that holds them.

Text and lines take their colour from the CSS variables ``--ink``, ``--muted``, ``--rule`` and ``--c0`` to ``--c9``,
so that a chart fits a light and a dark page. Equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pindet.evaluation.calibration import Bin

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 460, 340, 52, 14, 14, 48
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM


@dataclass(frozen=True)
class Series:
    """A line through ``points`` (x, y), each 0–1; ``color`` is a CSS colour, ``strong`` draws it thicker."""

    name: str
    points: Sequence[tuple[float, float]]
    color: str
    strong: bool = False


def color(position: int) -> str:
    """The CSS colour of the series at ``position``; they repeat after ten."""
    return f"var(--c{position % 10})"


def lines(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, marked_x: float | None = None, mark: str = ""
) -> str:
    """A line chart; ``marked_x`` draws a vertical line there, with the text ``mark``."""
    parts = [_frame(x_label, y_label)]
    if marked_x is not None:
        anchor, shift = ("end", -6) if marked_x > 0.6 else ("start", 6)
        x = _x(marked_x)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_y(1)}" y2="{_y(0)}" stroke="var(--ink)" stroke-dasharray="5 4"/>')
        parts.append(
            f'<text x="{round(x + shift, 1)}" y="{_y(0) - 8}" text-anchor="{anchor}" class="ink">{escape(mark)}</text>'
        )
    for one in series:
        path = " ".join(f"{_x(x)},{_y(y)}" for x, y in one.points)
        width = 3 if one.strong else 1.8
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{one.color}" stroke-width="{width}" '
            f'stroke-linejoin="round"><title>{escape(one.name)}</title></polyline>'
        )
    return _svg(parts, title)


def reliability_chart(bins: Sequence[Bin], *, title: str, x_label: str, y_label: str) -> str:
    """Bars of precision over score, against the diagonal that a calibrated detector follows."""
    ends = f'x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"'
    parts = [_frame(x_label, y_label)]
    for b in bins:
        left, right, top = _x(b.low) + 2, _x(b.high) - 2, _y(b.precision)
        text = f"{b.count} detections, mean score {b.confidence:.2f}, precision {b.precision:.2f}"
        parts.append(
            f'<rect x="{round(left, 1)}" y="{top}" width="{round(right - left, 1)}" height="{round(_y(0) - top, 1)}" '
            f'fill="var(--c0)" fill-opacity="0.75"><title>{text}</title></rect>'
        )
        inside = top - 5 < _y(1) + 11  # no room above a bar that reaches the top
        label_y = round(top + 13 if inside else top - 5, 1)
        middle = round((left + right) / 2, 1)
        kind = "small onbar" if inside else "small"
        parts.append(f'<text x="{middle}" y="{label_y}" text-anchor="middle" class="{kind}">{b.count}</text>')
    return _svg([*parts, f'<line {ends} stroke="var(--ink)" stroke-dasharray="5 4"/>'], title)


def _frame(x_label: str, y_label: str) -> str:
    parts = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x, y = _x(tick), _y(tick)
        parts.append(f'<line x1="{_x(0)}" x2="{_x(1)}" y1="{y}" y2="{y}" stroke="var(--rule)"/>')
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_y(0)}" y2="{_y(1)}" stroke="var(--rule)"/>')
        parts.append(f'<text x="{_x(0) - 8}" y="{round(y + 4, 1)}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text x="{x}" y="{_y(0) + 18}" text-anchor="middle">{tick:g}</text>')
    middle_x, middle_y = _LEFT + _PLOT_WIDTH / 2, _TOP + _PLOT_HEIGHT / 2
    parts.append(f'<text x="{middle_x}" y="{_HEIGHT - 8}" text-anchor="middle" class="ink">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle" class="ink">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _svg(parts: Sequence[str], title: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _x(value: float) -> float:
    return round(_LEFT + value * _PLOT_WIDTH, 1)


def _y(value: float) -> float:
    return round(_TOP + (1 - value) * _PLOT_HEIGHT, 1)
