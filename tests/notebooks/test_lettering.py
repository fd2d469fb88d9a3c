"""Class names in pictures: in their own letters where a font has them, else as numbers that are explained."""

import io

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure

from pindet.notebooks import lettering
from pindet.notebooks.lettering import explain, write_names


@pytest.fixture(autouse=True)
def as_before():
    with matplotlib.rc_context():
        yield


@pytest.fixture
def chinese_font(tmp_path):
    """A font with one Chinese letter, a square."""
    pen = TTGlyphPen(None)
    for number, place in enumerate([(100, 0), (100, 700), (800, 700), (800, 0)]):
        (pen.lineTo if number else pen.moveTo)(place)
    pen.closePath()
    square = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "person"])
    font.setupCharacterMap({ord("人"): "person"})
    font.setupGlyf({".notdef": square, "person": square})
    font.setupHorizontalMetrics({".notdef": (900, 0), "person": (900, 100)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Pindet Test", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.save(tmp_path / "test.ttf")
    return tmp_path / "test.ttf"


def drawn(text):
    figure = Figure()
    figure.text(0.1, 0.5, text, fontsize=40)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")  # a letter that no font has is a warning, and warnings are errors here
    return picture.getvalue()


def test_without_a_font_that_has_its_letters_a_name_is_its_label(monkeypatch):
    monkeypatch.setattr(lettering, "font_files", list)
    names = ["bolt", "人", "Шайба"]
    assert write_names(names) == ["bolt", "#1", "Шайба"]
    assert explain(dict(zip(names, write_names(names), strict=True))).startswith("In pictures #1 is `人`:")
    for name in write_names(names):
        drawn(name)


def test_a_font_of_the_machine_is_used(monkeypatch, chinese_font, tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(lettering, "font_files", lambda: [broken, chinese_font])
    assert write_names(["人", "六"]) == ["人", "#1"]
    assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "Pindet Test"]
    assert drawn("人") != drawn(" ")


def test_names_are_no_formulas(monkeypatch):
    monkeypatch.setattr(lettering, "font_files", list)
    (written,) = write_names(["$x^2$ \\$"])
    assert explain({"$x^2$ \\$": written}) == ""
    assert drawn(written) != drawn("$x^2$")
    drawn(r"\$\frac{")  # would be an error as a formula


def test_plain_names_need_no_look_at_the_machines_fonts(monkeypatch):
    monkeypatch.setattr(lettering, "font_files", lambda: pytest.fail("looked"))
    assert write_names(["hex nut", "washer"]) == ["hex nut", "washer"]
