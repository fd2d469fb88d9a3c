"""The letters of pictures that must have the same bytes everywhere: those of the DejaVu font that Matplotlib brings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def letters(size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels, laid out without libraries that a machine may lack."""
    return ImageFont.truetype(str(_FONT), size, layout_engine=ImageFont.Layout.BASIC)


def written(name: str, label: int) -> str:
    """Return the class name, or ``#`` and the label when the font lacks one of its letters (Chinese, say)."""
    return name if all(ord(letter) in _known() for letter in name) else f"#{label}"


@cache
def fitted(text: str, size: int, width: float) -> str:
    """Return the text, cut with an ellipsis where it is wider than ``width`` pixels; empty where nothing fits."""
    font = letters(size)
    if font.getlength(text) <= width:
        return text
    cuts = (f"{text[:count]}…" for count in range(len(text) - 1, 0, -1))
    return next((cut for cut in cuts if font.getlength(cut) <= width), "")


@cache
def _known() -> frozenset[int]:
    return frozenset(FT2Font(str(_FONT)).get_charmap())
