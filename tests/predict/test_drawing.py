"""Boxes and names on pictures."""

import io

import numpy as np
import pytest
from PIL import ImageFont
from pindet_serve.detections import Detections

from pindet.predict import fonts
from pindet.predict.drawing import colour_of, draw, replaced
from pindet.predict.fonts import font_files, font_for

GREY = np.full((200, 300, 3), 128, np.uint8)


def one(box, label=0):
    return Detections(np.array([box], np.float32), np.array([0.5], np.float32), np.array([label]))


def changed(image):
    """Rows and columns that differ from the grey picture: first and last of each."""
    rows, columns = np.nonzero((image != 128).any(-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_the_box_is_where_it_should_be_and_the_original_stays():
    drawn = draw(GREY, one([50, 60, 250, 150]), ["bolt"])
    assert (GREY == 128).all()
    assert tuple(drawn[150, 200]) == tuple(drawn[100, 250]) == colour_of(0)
    assert (drawn[100, 150] == 128).all()
    top, bottom, left, right = changed(drawn)
    assert 30 <= top < 60
    assert (bottom, left, right) == (150, 50, 250)


@pytest.mark.parametrize("box", [[0, 0, 300, 200], [280, 0, 300, 20], [0, 190, 10, 200], [299, 199, 300, 200]])
def test_names_stay_inside_the_picture(box):
    drawn = draw(GREY, one(box), ["a name of some length"])
    assert drawn.shape == GREY.shape
    assert ((drawn == colour_of(0)).all(-1)).sum() > 500


def test_letters_at_the_upper_edge_are_whole():
    # The name is 13 pixels high: less than one is left above the second.
    middle, upper = (draw(GREY, one([50, top, 250, 150]), ["BOLT"]) for top in (60, 13.4))
    np.testing.assert_array_equal(upper[:13, 52:90], middle[47:60, 52:90])


def test_classes_have_colours_of_their_own():
    assert len({colour_of(label) for label in range(80)}) == 80


def test_one_pixel_images_can_be_drawn_on():
    assert draw(np.zeros((1, 1, 3), np.uint8), one([0, 0, 1, 1]), ["x"]).shape == (1, 1, 3)


def test_nothing_found_is_the_image_itself():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    np.testing.assert_array_equal(draw(GREY, nothing, ["x"]), GREY)


def test_a_name_that_no_font_can_draw_becomes_its_number(monkeypatch):
    monkeypatch.setattr(fonts, "_machine_fonts", lambda _: ())
    assert font_for("人", 20) is None
    label = draw(GREY, one([50, 60, 250, 150], label=1), ["x", "人"])
    number = draw(GREY, one([50, 60, 250, 150], label=1), ["x", "#1"])
    np.testing.assert_array_equal(label, number)


def test_names_that_become_numbers_are_known_beforehand(monkeypatch):
    monkeypatch.setattr(fonts, "_machine_fonts", lambda _: ())
    assert replaced(["bolt", "人", "nut", "a人"]) == {"#1": "人", "#3": "a人"}


def test_no_character_is_drawn_as_the_box_of_a_missing_one(monkeypatch):
    monkeypatch.setattr(fonts, "_machine_fonts", lambda _: ())
    missing = bytes(ImageFont.load_default(20).getmask(fonts.NOWHERE))
    for code in (*range(0x250), 0x3000, *range(0x4E00, 0x4F00), *range(0xAC00, 0xAC20), 0x1F600):
        font = font_for(chr(code), 20)
        assert font is None or bytes(font.getmask(chr(code))) != missing


@pytest.mark.parametrize("name", ["a\nb", "a\x85", "a\x7f", "a\tb"])
def test_what_cannot_be_laid_out_becomes_a_number(name):
    assert replaced([name]) == {"#0": name}
    assert draw(GREY, one([50, 60, 250, 150]), [name]).shape == GREY.shape


def test_a_font_without_digits_writes_no_scores(monkeypatch):
    """Stand-in for a font that has Chinese alone: to it, all but one letter is missing."""

    class Alone(ImageFont.FreeTypeFont):
        def getmask(self, text, *arguments, **options):
            return super().getmask("A" if text == "人" else fonts.NOWHERE, *arguments, **options)

    font = Alone(io.BytesIO(ImageFont.load_default(20).font_bytes), 20)
    monkeypatch.setattr(fonts, "_machine_fonts", lambda _: (font,))
    assert font_for("人", 20) is font
    assert replaced(["人"]) == {"#0": "人"}
    np.testing.assert_array_equal(
        draw(GREY, one([50, 60, 250, 150]), ["人"]), draw(GREY, one([50, 60, 250, 150]), ["#0"])
    )


def test_plain_fonts_come_before_odd_ones(tmp_path, monkeypatch):
    for name in ("DejaVuSans-Bold.ttf", "DejaVuSans-ExtraLight.ttf", "DejaVuSans.ttf", "NotoSansCJK-Black.ttc"):
        (tmp_path / name).touch()
    (tmp_path / "NotoSansCJK-Regular.ttc").touch()
    monkeypatch.setattr(fonts, "FOLDERS", {"linux": [str(tmp_path)]})
    monkeypatch.setattr(fonts.sys, "platform", "linux")
    names = [file.name for file in font_files()]
    assert names[:2] == ["NotoSansCJK-Regular.ttc", "NotoSansCJK-Black.ttc"]
    assert names[2] == "DejaVuSans.ttf"


def test_a_font_of_the_machine_is_used_for_what_the_first_lacks(monkeypatch):
    """Stand-in for a Chinese font, which not every machine has: a font that claims to have everything."""

    class Everything(ImageFont.FreeTypeFont):
        def getmask(self, text, *arguments, **options):
            return super().getmask("A" if text == "人" else text, *arguments, **options)

    known = ImageFont.load_default(20)
    font = Everything(io.BytesIO(known.font_bytes), 20)
    monkeypatch.setattr(fonts, "_machine_fonts", lambda _: (font,))
    assert font_for("人", 20) is font
    assert font_for("bolt", 20) is not font
