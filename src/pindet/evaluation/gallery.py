"""The worst images, drawn: what is there on the left, what was detected on the right."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw
from pindet_serve.images import Image

from pindet.data.letters import fitted, letters, written
from pindet.evaluation.comparison import KINDS, ImageComparison, Kind
from pindet.evaluation.errors import MISSED

COLORS = {
    Kind.CORRECT: "#009e73",
    Kind.CLASSIFICATION: "#c45fa0",
    Kind.LOCALISATION: "#e69f00",
    Kind.BOTH: "#8c6d46",
    Kind.DUPLICATE: "#56b4e9",
    Kind.BACKGROUND: "#0072b2",
    MISSED: "#e0401a",
}
"""A colour for each kind, apart for colour-blind eyes too (after Okabe and Ito, "Color Universal Design", 2008)."""
WORDS = {
    Kind.CORRECT: "right",
    Kind.CLASSIFICATION: "wrong class",
    Kind.LOCALISATION: "badly placed",
    Kind.BOTH: "wrong class and badly placed",
    Kind.DUPLICATE: "found twice",
    Kind.BACKGROUND: "nothing there",
    MISSED: "missed",
}
"""What each kind is called in the report."""

_UNWRITTEN = ("#n: class n, counted from 0,", "whose name this font cannot write")
_Entry = tuple[float, str | None, str]
"""A word of the legend: where it begins, the kind whose colour is before it, if any, and the word."""
_PANEL_WIDTH, _PANEL_HEIGHT, _HEADER, _GAP, _MAX_ZOOM = 460, 420, 26, 8, 4.0


@dataclass(frozen=True)
class Mistake:
    """One error: ``detection`` and ``truth`` are positions in the image; ``number`` is drawn at both."""

    number: int
    kind: str
    detection: int | None
    truth: int | None


def ink(kind: str) -> str:
    """The colour of letters on the colour of ``kind``."""
    return "#1b2430" if kind in (Kind.LOCALISATION, Kind.DUPLICATE) else "#ffffff"


def worst(images: Sequence[ImageComparison], score_threshold: float, count: int) -> list[int]:
    """Positions of up to ``count`` images with most mistakes, worst first; those without any are left out."""
    ranked = sorted((-len(mistakes(image, score_threshold)), i) for i, image in enumerate(images))
    return [i for negative, i in ranked[:count] if negative]


def mistakes(image: ImageComparison, score_threshold: float) -> list[Mistake]:
    """Every wrong detection, best score first, then every object that none of them accounts for."""
    found = image.objects_found(score_threshold)
    kept = (image.found.scores >= score_threshold) & ~image.correct(score_threshold)
    result: list[Mistake] = []
    explained = found.copy()
    for i in np.flatnonzero(kept).tolist():
        kind, partner = KINDS[image.kinds[i]], int(image.partners[i])
        result.append(Mistake(len(result) + 1, kind, i, partner if partner >= 0 else None))
        if kind in (Kind.CLASSIFICATION, Kind.LOCALISATION):
            explained[partner] = True
    for j in np.flatnonzero(~explained).tolist():
        result.append(Mistake(len(result) + 1, MISSED, None, j))
    return result


def draw(pixels: Image, image: ImageComparison, classes: Sequence[str], score_threshold: float) -> bytes:
    """JPEG of objects (left) and detections (right); the same picture has the same bytes on every machine.

    A class whose name cannot be written there is called ``#3``, by its label; the legend says so.
    """
    height, width = pixels.shape[:2]
    zoom = min(_PANEL_WIDTH / width, _PANEL_HEIGHT / height, _MAX_ZOOM)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    base = Picture.fromarray(pixels).resize(size, Picture.Resampling.BILINEAR)
    columns = max(size[0], 150)
    names = [_short(written(name, label)) for label, name in enumerate(classes)]
    truths, found = _marks(image, names, score_threshold)
    legend = _legend({mark.kind for mark in truths + found}, 2 * columns + _GAP)
    if unwritten(image, classes, score_threshold):
        legend += _unwritten_lines(2 * columns + _GAP)
    sheet = Picture.new("RGB", (2 * columns + _GAP, _HEADER + size[1] + max(1, len(legend)) * _HEADER), "white")
    pen = ImageDraw.Draw(sheet)
    for left, title, marks in ((0, "objects", truths), (columns + _GAP, "detections", found)):
        pen.text((left + 4, 4), title, fill="#222222", font=letters(15))
        panel = base.copy()
        for mark in marks:
            _draw_box(ImageDraw.Draw(panel), mark, zoom)
        for mark in marks:  # after all boxes, so that no line goes through a text
            _draw_text(ImageDraw.Draw(panel), mark, zoom, size)
        sheet.paste(panel, (left, _HEADER))
    for number, line in enumerate(legend):
        _write_line(pen, line, _HEADER + size[1] + number * _HEADER + 5)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def unwritten(image: ImageComparison, classes: Sequence[str], score_threshold: float) -> dict[str, str]:
    """What the picture of an image calls the classes whose names it cannot write, and their names."""
    shown: set[int] = set()
    for mistake in mistakes(image, score_threshold):
        shown |= {int(image.found.labels[i]) for i in [mistake.detection] if i is not None}
        shown |= {int(image.labels[j]) for j in [mistake.truth] if j is not None}
    names = {written(classes[label], label): classes[label] for label in sorted(shown)}
    return {called: name for called, name in names.items() if called != name}


@dataclass(frozen=True)
class _Mark:
    box: tuple[float, float, float, float]
    kind: str
    text: str


def _marks(image: ImageComparison, names: Sequence[str], score_threshold: float) -> tuple[list[_Mark], list[_Mark]]:
    truths: dict[int, _Mark] = {}
    found: list[_Mark] = []
    for i in np.flatnonzero(image.correct(score_threshold)).tolist():
        found.append(_Mark(_corners(image.found.boxes[i]), Kind.CORRECT, ""))
    for j in np.flatnonzero(image.objects_found(score_threshold)).tolist():
        truths[j] = _Mark(_corners(image.boxes[j]), Kind.CORRECT, "")
    for mistake in mistakes(image, score_threshold):
        if mistake.detection is not None:
            text = f"{mistake.number} {names[image.found.labels[mistake.detection]]}"
            found.append(_Mark(_corners(image.found.boxes[mistake.detection]), mistake.kind, text))
        if mistake.truth is not None and mistake.truth not in truths:
            text = f"{mistake.number} {names[image.labels[mistake.truth]]}"
            truths[mistake.truth] = _Mark(_corners(image.boxes[mistake.truth]), mistake.kind, text)
    return list(truths.values()), found


def _corners(box: np.ndarray[tuple[int], np.dtype[np.float32]]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2


def _draw_box(pen: ImageDraw.ImageDraw, mark: _Mark, zoom: float) -> None:
    x1, y1, x2, y2 = (value * zoom for value in mark.box)
    corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
    pen.rectangle(corners, outline=COLORS[mark.kind], width=3 if mark.text else 2)


def _draw_text(pen: ImageDraw.ImageDraw, mark: _Mark, zoom: float, size: tuple[int, int]) -> None:
    if not mark.text:
        return
    x1, y1 = (value * zoom for value in mark.box[:2])
    font, text = letters(13), fitted(mark.text, 13, size[0] - 6)
    wide, high = font.getlength(text) + 6, 17
    left = min(max(0.0, x1), max(0.0, size[0] - wide))
    top = y1 - high if y1 >= high else min(y1, size[1] - high)
    pen.rectangle((left, top, left + wide, top + high), fill=COLORS[mark.kind])
    pen.text((left + 3, top + 1), text, fill=ink(mark.kind), font=font)


def _legend(kinds: set[str], width: int) -> list[list[_Entry]]:
    """The kinds in as many lines as they need."""
    lines: list[list[_Entry]] = []
    left = float(width)
    for kind, word in WORDS.items():
        if kind in kinds:
            wide = 17 + letters(13).getlength(word)
            if left + wide > width:
                lines.append([])
                left = 4.0
            lines[-1].append((left, kind, word))
            left += wide + 16
    return lines


def _unwritten_lines(width: int) -> list[list[_Entry]]:
    whole = " ".join(_UNWRITTEN)
    lines = [whole] if 4 + letters(13).getlength(whole) <= width else _UNWRITTEN
    return [[(4.0, None, line)] for line in lines]


def _write_line(pen: ImageDraw.ImageDraw, line: Sequence[_Entry], top: int) -> None:
    for left, kind, word in line:
        if kind is not None:
            pen.rectangle((left, top + 2, left + 12, top + 14), fill=COLORS[kind])
        pen.text((left + (17 if kind is not None else 0), top), word, fill="#222222", font=letters(13))


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
