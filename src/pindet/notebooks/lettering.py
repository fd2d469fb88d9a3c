"""Class names in Matplotlib's pictures, in any script that a font of this machine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from pindet.predict.fonts import font_files

BASE = "DejaVu Sans"
"""The font that Matplotlib brings."""
_NO_SHAPE = frozenset(map(ord, " \t\n"))


def write_names(names: Sequence[str]) -> list[str]:
    """Let Matplotlib use fonts that have the letters of these class names, and return what to write for each.

    That is the name, escaped so that Matplotlib takes none of it for a formula (``$``), or ``#`` and its label where no
    font of this machine has its letters.
    """
    missing = {ord(letter) for name in names for letter in name} - _letters(_base_file()) - _NO_SHAPE
    families = [BASE]
    for file in font_files() if missing else ():
        found = missing & _letters(file)
        if found:
            font_manager.fontManager.addfont(file)
            families.append(FT2Font(str(file)).family_name)
            missing -= found
    matplotlib.rcParams["font.family"] = families
    return [f"#{label}" if missing & set(map(ord, name)) else _escaped(name) for label, name in enumerate(names)]


def explain(written: Mapping[str, str]) -> str:
    """What the numbers in pictures stand for, from what is written for each name; empty where there are none."""
    hidden = [f"{shown} is `{name}`" for name, shown in written.items() if shown not in (name, _escaped(name))]
    return f"In pictures {', '.join(hidden)}: the font there lacks the letters." if hidden else ""


def _escaped(name: str) -> str:
    return name.replace("$", r"\$")


def _base_file() -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _letters(file: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(file)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()  # a file that only looks like a font
