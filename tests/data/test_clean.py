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
    return Item(path.name, path.read_bytes, [], None, width, height)


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


def spotted(path: Path, orientation: int) -> tuple[RawBox, RawBox]:
    """Store 64 x 48 pixels with a white patch and an EXIF orientation; return the patch as stored and as displayed."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[8:12, 40:50] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    rows, columns = np.nonzero(decode_image(path.read_bytes())[..., 0] > 127)
    corners = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return RawBox("x", 40, 8, 50, 12), RawBox("x", *(float(v) for v in corners))


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_size_are_turned_with_the_image(tmp_path: Path, name: str, orientation: int) -> None:
    stored, displayed = spotted(tmp_path / name, orientation)
    cleaned, rejections = clean(Item(name, (tmp_path / name).read_bytes, [stored], None, 64, 48))
    assert cleaned is not None
    assert (cleaned.width, cleaned.height) == (48, 64)
    assert cleaned.boxes == [displayed]
    assert [(r.reason, r.action) for r in rejections] == [
        (Reason.SIZE_MISMATCH, "converted"),
        (Reason.PIXEL_FORMAT, "converted"),
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_the_displayed_image_stay(tmp_path: Path, orientation: int) -> None:
    _, displayed = spotted(tmp_path / "a.jpg", orientation)
    width, height = (48, 64) if orientation >= 5 else (64, 48)
    shares = RawBox("x", displayed.x1 / width, displayed.y1 / height, displayed.x2 / width, displayed.y2 / height)
    read = (tmp_path / "a.jpg").read_bytes
    for item in (
        Item("a.jpg", read, [displayed], None, width, height),
        Item("a.jpg", read, [displayed]),
        Item("a.jpg", read, [shares], normalised=True),
    ):
        cleaned, rejections = clean(item)
        assert cleaned is not None
        assert cleaned.boxes == [displayed]
        assert [r.reason for r in rejections] == [Reason.PIXEL_FORMAT] * (orientation != 1)


@pytest.mark.parametrize(
    ("name", "stored"), [("x/a.JPG", "x/a.png"), ("a.PNG", "a.PNG"), ("a.b.tif", "a.b.png"), ("a.webp", "a.png")]
)
def test_a_converted_image_is_named_png(tmp_path: Path, name: str, stored: str) -> None:
    path = tmp_path / Path(name).name
    Image.effect_noise((64, 48), 50).convert("CMYK" if "JPG" in name else "RGBA" if "PNG" in name else "RGB").save(path)
    cleaned, rejections = clean(Item(name, path.read_bytes, []))
    assert cleaned is not None
    assert cleaned.name == stored
    assert [(r.item, r.action) for r in rejections] == [(name, "converted")]
    assert stored in rejections[0].detail


def test_a_file_that_cannot_be_read_is_dropped_without_its_path(tmp_path: Path) -> None:
    cleaned, rejections = clean(item(tmp_path / "gone.png"))
    assert cleaned is None
    assert [(r.reason, r.detail) for r in rejections] == [(Reason.UNREADABLE, "No such file or directory")]


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
