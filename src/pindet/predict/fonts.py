"""A font for class names in any script, from those of the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FOLDERS = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts", "~/AppData/Local/Microsoft/Windows/Fonts"),
}
# Fonts with Chinese, Japanese or Korean first; they cover most other scripts too.
PREFERRED = (
    "NotoSansCJK", "NotoSansSC", "SourceHanSans", "wqy", "DroidSansFallback", "PingFang", "Hiragino", "STHeiti",
    "msyh", "simhei", "malgun", "meiryo", "ArialUnicode", "NotoSans-", "DejaVuSans",
)  # fmt: skip
ODD = ("Bold", "Black", "Light", "Thin", "Oblique", "Italic", "Condensed", "Mono")
"""Styles that are taken where there is no plain one."""
NOWHERE = "\U0010ffff"
"""A character that no font has: it looks like every other one that a font lacks."""


def font_for(text: str, size: int) -> Font | None:
    """The first font of the machine that can draw every character of a text; ``None`` when there is none."""
    default = ImageFont.load_default(size)
    if text.isascii() and text.isprintable():
        return default
    return next((font for font in (default, *_machine_fonts(size)) if _draws(font, text)), None)


@cache
def _machine_fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    return tuple(_loaded(size))


def _loaded(size: int) -> Iterator[ImageFont.FreeTypeFont]:
    for path in font_files():
        try:
            yield ImageFont.truetype(path, size)
        except OSError:
            continue  # a file that only looks like a font


def font_files() -> list[Path]:
    """The fonts of the machine that are worth trying, best first."""
    folders = [Path(folder).expanduser() for folder in FOLDERS.get(sys.platform, FOLDERS["linux"])]
    files = {
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.suffix.lower() in (".ttf", ".ttc", ".otf") and file.name.startswith(PREFERRED)
    }
    ranks = {start: rank for rank, start in enumerate(PREFERRED)}

    def rank(file: Path) -> tuple[int, bool, str]:
        best = min(ranks[start] for start in PREFERRED if file.name.startswith(start))
        return best, any(style in file.name for style in ODD), str(file)

    return sorted(files, key=rank)


def _draws(font: Font, text: str) -> bool:
    if not isinstance(font, ImageFont.FreeTypeFont):
        return False
    missing = bytes(font.getmask(NOWHERE))
    try:
        return all(character == " " or bytes(font.getmask(character)) != missing for character in text)
    except RuntimeError:  # a line end, say, which cannot be laid out
        return False
