"""One picture of a data set: a few images of each split with their boxes and class names.

The letters are those of the DejaVu font that comes with matplotlib, so that the picture is the same everywhere. A class
whose name it cannot write (Chinese, say) is shown as ``#`` and its label; the legend says so.
"""

from __future__ import annotations

import colorsys
import io
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from pindet.data.prepared import PreparedSplit

COLUMNS, ROWS = 6, 2
_CELL, _GAP, _TITLE = 300, 8, 30
_PAPER, _INK = (250, 250, 250), (30, 30, 30)
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def contact_sheet(splits: dict[str, PreparedSplit]) -> bytes:
    """Draw up to 12 images a split, spread evenly over its names, with boxes and a legend.

    Returns:
        A JPEG; equal data give equal bytes.
    """
    shown = {name: split for name, split in splits.items() if len(split)}
    classes = next(iter(splits.values())).classes
    width = COLUMNS * (_CELL + _GAP) + _GAP
    legend = _legend(classes, width)
    heights = [_TITLE + -(-len(_chosen(split)) // COLUMNS) * (_CELL + _GAP) for split in shown.values()]
    sheet = Image.new("RGB", (width, sum(heights) + legend.height), _PAPER)
    top = 0
    for (name, split), height in zip(shown.items(), heights, strict=True):
        _draw_split(sheet, top, name, split)
        top += height
    sheet.paste(legend, (0, top))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=88)
    return out.getvalue()


def _chosen(split: PreparedSplit) -> list[int]:
    count = min(len(split), COLUMNS * ROWS)
    return [i * len(split) // count for i in range(count)]


def _draw_split(sheet: Image.Image, top: int, name: str, split: PreparedSplit) -> None:
    title = f"{name}: {len(split)} images, {sum(len(split.boxes(i)) for i in range(len(split)))} boxes"
    ImageDraw.Draw(sheet).text((_GAP, top + 6), title, _INK, _font(16))
    for k, i in enumerate(_chosen(split)):
        row, column = divmod(k, COLUMNS)
        cell = _cell(split, i)
        x = _GAP + column * (_CELL + _GAP) + (_CELL - cell.width) // 2
        sheet.paste(cell, (x, top + _TITLE + row * (_CELL + _GAP) + (_CELL - cell.height) // 2))


def _cell(split: PreparedSplit, i: int) -> Image.Image:
    picture = Image.fromarray(split.image(i))
    scale = _CELL / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for box, label in zip((split.boxes(i) * scale).tolist(), split.labels(i).tolist(), strict=True):
        x1, y1, x2, y2 = box
        colour = _colour(label, len(split.classes))
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
        text = written(split.classes[label], label)
        left, high, right, low = draw.textbbox((0, 0), text, _font(11))
        tag_x = max(0, min(x1, size[0] - (right - left) - 4))
        tag_y = y1 - (low - high) - 4 if y1 >= low - high + 4 else y2
        draw.rectangle((tag_x, tag_y, tag_x + right - left + 4, tag_y + low - high + 4), fill=colour)
        draw.text((tag_x + 2 - left, tag_y + 2 - high), text, _contrast(colour), _font(11))
    return picture


def _legend(classes: list[str], width: int) -> Image.Image:
    """The colours of all classes, and for those that cannot be written where their name is."""
    wide = max(len(written(name, i)) for i, name in enumerate(classes)) * 9 + 40
    columns = max(1, (width - _GAP) // wide)
    rows = -(-len(classes) // columns)
    hidden = any(written(name, i) != name for i, name in enumerate(classes))
    legend = Image.new("RGB", (width, (rows + int(hidden)) * 24 + 2 * _GAP), _PAPER)
    draw = ImageDraw.Draw(legend)
    for i, name in enumerate(classes):
        x, y = _GAP + i % columns * wide, _GAP + i // columns * 24
        draw.rectangle((x, y + 3, x + 14, y + 17), fill=_colour(i, len(classes)))
        draw.text((x + 20, y + 2), written(name, i), _INK, _font(14))
    if hidden:
        text = "#n: class n, counted from 0; its name is in summary.json, this font cannot write it"
        draw.text((_GAP, _GAP + rows * 24), text, _INK, _font(14))
    return legend


def written(name: str, label: int) -> str:
    """Return the class name, or ``#`` and the label when the font lacks one of its letters."""
    letters = FT2Font(str(_FONT)).get_charmap()
    return name if all(ord(letter) in letters for letter in name) else f"#{label}"


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONT), size, layout_engine=ImageFont.Layout.BASIC)


def _colour(label: int, count: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb((label / count + 0.02) % 1, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _contrast(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128
    return (0, 0, 0) if bright else (255, 255, 255)
