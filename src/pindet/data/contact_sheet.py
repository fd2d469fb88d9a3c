"""One picture of a data set: a few images of each split with their boxes and class names.

The picture is the same everywhere. A class whose name its letters cannot write (Chinese, say) is shown as ``#`` and its
label; the legend says so.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from pindet.data.letters import fitted, letters, written
from pindet.data.prepared import PreparedSplit

COLUMNS, ROWS = 6, 2
_CELL, _GAP, _TITLE = 300, 8, 30
_NAME, _LEGEND_NAME = 150, 600
"""Pixels that a name may take, at a box and in the legend."""
_MOST_NAMES = 60
"""Of an image with more boxes the colours alone tell the classes: names would hide it."""
_PAPER, _INK = (250, 250, 250), (30, 30, 30)


def contact_sheet(splits: dict[str, PreparedSplit]) -> bytes:
    """Draw up to 12 images a split, spread evenly over its names, with boxes and a legend.

    Returns:
        A JPEG; equal data give equal bytes.
    """
    classes = next(iter(splits.values())).classes
    width = COLUMNS * (_CELL + _GAP) + _GAP
    blocks = [_block(name, split, width) for name, split in splits.items() if len(split)]
    blocks.append(_legend(classes, width))
    sheet = Image.new("RGB", (width, sum(block.height for block in blocks)), _PAPER)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=88)
    return out.getvalue()


def _block(name: str, split: PreparedSplit, width: int) -> Image.Image:
    """A title and rows of images, each row as high as its highest image."""
    count = min(len(split), COLUMNS * ROWS)
    cells = [_cell(split, i * len(split) // count) for i in range(count)]
    rows = [cells[i : i + COLUMNS] for i in range(0, count, COLUMNS)]
    heights = [max(cell.height for cell in row) + _GAP for row in rows]
    block = Image.new("RGB", (width, _TITLE + sum(heights)), _PAPER)
    boxes = sum(len(split.boxes(i)) for i in range(len(split)))
    title = f"{name}: {_counted(len(split), 'image', 'images')}, {_counted(boxes, 'box', 'boxes')}"
    ImageDraw.Draw(block).text((_GAP, 6), title, _INK, letters(16))
    top = _TITLE
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            x = _GAP + column * (_CELL + _GAP) + (_CELL - cell.width) // 2
            block.paste(cell, (x, top + (height - _GAP - cell.height) // 2))
        top += height
    return block


def _cell(split: PreparedSplit, i: int) -> Image.Image:
    picture = Image.fromarray(split.image(i))
    scale = _CELL / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    boxes, labels = (split.boxes(i) * scale).tolist(), split.labels(i).tolist()
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        colour = _colour(label, len(split.classes))
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
    if len(labels) <= _MOST_NAMES:
        _write_names(draw, size, boxes, labels, split.classes)
    return picture


def _write_names(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    boxes: Sequence[Sequence[float]],
    labels: Sequence[int],
    classes: Sequence[str],
) -> None:
    """Write each class name above its box, below it or inside; where no place is free the colour has to do."""
    taken: list[tuple[int, int, int, int]] = []
    for (x1, y1, _, y2), label in zip(boxes, labels, strict=True):
        text = fitted(written(classes[label], label), 11, min(_NAME, size[0] - 5))
        left, high, right, low = draw.textbbox((0, 0), text, letters(11))
        width, height = round(right - left) + 4, round(low - high) + 4
        # Whole pixels: between two of them Pillow cuts letters off at the upper edge.
        x, above, inside, below = max(0, min(round(x1), size[0] - 1 - width)), round(y1) - height, round(y1), round(y2)
        tags = [(x, y, x + width, y + height) for y in (above, below, inside) if 0 <= y <= size[1] - 1 - height]
        tag = next((tag for tag in tags if text and not any(_overlap(tag, other) for other in taken)), None)
        if tag is not None:
            taken.append(tag)
            colour = _colour(label, len(classes))
            draw.rectangle(tag, fill=colour)
            draw.text((tag[0] + 2 - left, tag[1] + 2 - high), text, _contrast(colour), letters(11))


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _legend(classes: list[str], width: int) -> Image.Image:
    """The colours of all classes, and for those that cannot be written where their name is."""
    names = [fitted(written(name, i), 14, _LEGEND_NAME) for i, name in enumerate(classes)]
    wide = round(max(letters(14).getlength(name) for name in names)) + 40
    columns = max(1, (width - _GAP) // wide)
    rows = -(-len(classes) // columns)
    hidden = any(written(name, i) != name for i, name in enumerate(classes))
    legend = Image.new("RGB", (width, (rows + int(hidden)) * 24 + 2 * _GAP), _PAPER)
    draw = ImageDraw.Draw(legend)
    for i, name in enumerate(names):
        x, y = _GAP + i % columns * wide, _GAP + i // columns * 24
        draw.rectangle((x, y + 3, x + 14, y + 17), fill=_colour(i, len(classes)))
        draw.text((x + 20, y + 2), name, _INK, letters(14))
    if hidden:
        text = "#n: class n, counted from 0; its name is in summary.json, this font cannot write it"
        draw.text((_GAP, _GAP + rows * 24), text, _INK, letters(14))
    return legend


def _colour(label: int, count: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb((label / count + 0.02) % 1, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _contrast(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128
    return (0, 0, 0) if bright else (255, 255, 255)
