"""Cleaning one item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pindet_serve.images import decode_image

from pindet.data.clean import clean, clean_box
from pindet.data.records import Item, RawBox, Reason


@pytest.mark.parametrize(
    ("corners", "reason", "action"),
    [
        ((5, 5, 5, 9), Reason.ZERO_AREA, "dropped"),
        ((9, 5, 5, 9), Reason.REVERSED, "dropped"),
        ((70, 5, 80, 9), Reason.OUTSIDE, "dropped"),
        ((float("nan"), 5, 8, 9), Reason.NOT_FINITE, "dropped"),
        ((-3, 5, 80, 9), Reason.OUTSIDE, "clipped"),
    ],
)
def test_bad_boxes(corners: Any, reason: Reason, action: str) -> None:
    kept, rejection = clean_box("a", RawBox("x", *corners), 64, 48)
    assert rejection is not None
    assert (rejection.reason, rejection.action) == (reason, action)
    assert kept == (RawBox("x", 0, 5, 64, 9) if action == "clipped" else None)


def item(path: Path, width: int | None = None, height: int | None = None) -> Item:
    return Item(path.name, path, [], width, height, None)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_plain_bytes_are_kept(tmp_path: Path, name: str, mode: str) -> None:
    Image.effect_noise((64, 48), 50).convert(mode).save(tmp_path / name)
    cleaned, rejections = clean(item(tmp_path / name, 64, 48))
    assert cleaned is not None
    assert cleaned.data == (tmp_path / name).read_bytes()
    assert rejections == []


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("P", "png"), ("I;16", "png"), ("CMYK", "jpg")])
def test_odd_formats_become_rgb_png(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if mode == "I;16":
        Image.fromarray(np.full((48, 64), 40000, np.uint16)).save(path)
    else:
        Image.effect_noise((64, 48), 50).convert("RGB").convert(mode).save(path)
    cleaned, rejections = clean(item(path))
    assert cleaned is not None
    assert [(r.reason, r.action) for r in rejections] == [(Reason.PIXEL_FORMAT, "converted")]
    assert (cleaned.data[:4], cleaned.data[24:26]) == (b"\x89PNG", b"\x08\x02")
    assert np.array_equal(decode_image(cleaned.data), decode_image(path.read_bytes()))


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((64, 48), 50).convert("RGB").save(tmp_path / "a.jpg", exif=exif)
    cleaned, rejections = clean(item(tmp_path / "a.jpg", 48, 64))
    assert cleaned is not None
    assert (cleaned.width, cleaned.height) == (48, 64)
    assert [r.action for r in rejections] == ["converted"]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("keep", [0, 20, 1500])
def test_truncated_is_dropped(tmp_path: Path, name: str, keep: int) -> None:
    Image.effect_noise((64, 48), 50).convert("RGB").save(tmp_path / name, quality=95)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:keep])
    cleaned, rejections = clean(item(tmp_path / name))
    assert cleaned is None
    assert [(r.reason, r.action) for r in rejections] == [(Reason.UNREADABLE, "dropped")]


def test_size_mismatch_is_reported(tmp_path: Path, make_picture: Any) -> None:
    make_picture(tmp_path / "a.png", 0)
    cleaned, rejections = clean(item(tmp_path / "a.png", 48, 64))
    assert cleaned is None
    assert [r.reason for r in rejections] == [Reason.SIZE_MISMATCH]
