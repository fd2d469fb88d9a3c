import pytest

from pindet.data.letters import fitted, letters, written


@pytest.mark.parametrize("name", ["bolt", "Шайба", "é ü"])
def test_a_name_in_letters_that_the_font_has_is_written(name):
    assert written(name, 3) == name


@pytest.mark.parametrize("name", ["人", "a人"])
def test_another_name_is_written_as_its_label(name):
    assert written(name, 3) == "#3"


def test_a_name_that_is_too_wide_is_cut():
    assert fitted("bolt", 14, 200) == "bolt"
    cut = fitted("bolt " * 20, 14, 200)
    assert cut.startswith("bolt bolt") and cut.endswith("…")
    assert 180 < letters(14).getlength(cut) <= 200
    assert fitted("bolt", 14, 10) == ""


def test_letters_have_the_size_that_was_asked_for():
    assert letters(26).getlength("pin") == pytest.approx(2 * letters(13).getlength("pin"), rel=0.1)
