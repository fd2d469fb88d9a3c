"""Which images are shown, and that the pictures say what went wrong."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pindet.evaluation.comparison import Kind, compare_image
from pindet.evaluation.errors import MISSED
from pindet.evaluation.gallery import COLORS, WORDS, draw, mistakes, unwritten, worst

OBJECTS = np.array([[10, 10, 60, 60], [80, 10, 130, 60], [10, 80, 60, 130]], np.float32)
LABELS = np.array([0, 1, 0], np.int64)
PIXELS = np.full((160, 200, 3), 255, np.uint8)


@pytest.fixture
def image(answer: Any) -> Any:
    found = answer((10, 10, 60, 60, 0.9, 0), (80, 10, 130, 60, 0.8, 0), (150, 100, 190, 150, 0.2, 1))
    return compare_image("x", found, OBJECTS, LABELS, 0.5)


def colors(jpeg: bytes) -> set[str]:
    """The kinds whose colours the picture has enough of; colours differ a little in a JPEG."""
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)[26:-26]  # without the legend
    wanted = {k: [int(c[i : i + 2], 16) for i in (1, 3, 5)] for k, c in COLORS.items()}
    return {k for k, c in wanted.items() if (np.abs(pixels - c).max(axis=2) < 25).sum() > 150}


def test_mistakes_are_numbered_and_explained(image: Any) -> None:
    listed = [(m.number, m.kind, m.detection, m.truth) for m in mistakes(image, 0.5)]
    assert listed == [(1, Kind.CLASSIFICATION, 1, 1), (2, MISSED, None, 2)]
    assert [m.kind for m in mistakes(image, 0.1)] == [Kind.CLASSIFICATION, Kind.BACKGROUND, MISSED]


def test_every_kind_has_a_colour_and_a_word() -> None:
    assert set(COLORS) == set(WORDS) == {*Kind, MISSED}
    assert len(set(COLORS.values())) == len(COLORS)


def test_the_picture_shows_each_kind(image: Any) -> None:
    assert colors(draw(PIXELS, image, ["a", "b"], 0.5)) == {Kind.CORRECT, Kind.CLASSIFICATION, MISSED}
    with_background = colors(draw(PIXELS, image, ["a", "b"], 0.1))
    assert with_background == {Kind.CORRECT, Kind.CLASSIFICATION, Kind.BACKGROUND, MISSED}


def test_equal_pictures_have_equal_bytes_and_names_matter(image: Any) -> None:
    assert draw(PIXELS, image, ["a", "b"], 0.5) == draw(PIXELS, image, ["a", "b"], 0.5)
    assert draw(PIXELS, image, ["a", "b"], 0.5) != draw(PIXELS, image, ["a", "c"], 0.5)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (1200, 5)])
def test_odd_sizes_are_drawn(answer: Any, size: tuple[int, int]) -> None:
    height, width = size
    box = np.array([[0, 0, width, height]], np.float32)
    image = compare_image("x", answer((0, 0, width, height, 0.9, 1)), box, np.zeros(1, np.int64), 0.5)
    jpeg = draw(np.zeros((height, width, 3), np.uint8), image, ["a", "b"], 0.5)
    assert Image.open(io.BytesIO(jpeg)).size[0] < 1000


def test_the_worst_come_first_and_the_faultless_not_at_all(answer: Any, image: Any) -> None:
    right = compare_image("r", answer((10, 10, 60, 60, 0.9, 0)), OBJECTS[:1], LABELS[:1], 0.5)
    missed = compare_image("m", answer(), OBJECTS[:1], LABELS[:1], 0.5)
    assert worst([right, missed, image, missed], 0.5, 5) == [2, 1, 3]
    assert worst([right, missed, image, missed], 0.5, 2) == [2, 1]
    assert worst([image], 0.5, 0) == []


def test_names_that_the_font_lacks_are_called_by_their_number(image: Any, monkeypatch: Any) -> None:
    drawn: list[str] = []
    text = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda pen, at, words, **k: (drawn.append(words), text(pen, at, words, **k))
    )
    chinese = draw(PIXELS, image, ["螺栓", "螺母"], 0.5)
    assert {"1 #0", "1 #1", "2 #0"} <= set(drawn)
    assert all(letter < "\u2fff" for words in drawn for letter in words)
    assert "#n: class n, counted from 0, whose name this font cannot write" in drawn
    assert unwritten(image, ["螺栓", "螺母"], 0.5) == {"#0": "螺栓", "#1": "螺母"}
    assert chinese != draw(PIXELS, image, ["螺栓", "nut"], 0.5)
    drawn.clear()
    draw(PIXELS, image, ["bolt", "nut"], 0.5)
    assert not [words for words in drawn if "#" in words]
    assert unwritten(image, ["bolt", "nut"], 0.5) == {}
    # No mistake names the second class once the last object is all that is wrong.
    assert unwritten(compare_image("x", image.found, OBJECTS[2:], LABELS[2:], 0.95), ["螺栓", "nut"], 0.95) == {
        "#0": "螺栓"
    }


def test_the_legend_is_whole_in_narrow_pictures_too(answer: Any, monkeypatch: Any) -> None:
    ends: list[float] = []
    words: list[str] = []
    text = ImageDraw.ImageDraw.text

    def watched(pen: Any, at: Any, word: str, *, font: Any, **k: Any) -> None:
        words.append(word)
        ends.append(at[0] + font.getlength(word))
        text(pen, at, word, font=font, **k)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", watched)
    objects = np.array([[0, 0, 30, 40], [0, 60, 30, 100], [0, 120, 30, 160]], np.float32)
    found = answer(
        (0, 0, 30, 40, 0.9, 0),
        (0, 0, 30, 38, 0.8, 0),
        (0, 60, 30, 98, 0.8, 0),
        (0, 120, 30, 130, 0.7, 0),
        (0, 170, 9, 190, 0.7, 0),
    )
    image = compare_image("x", found, objects, np.array([0, 1, 1]), 0.5)
    jpeg = draw(np.full((400, 40, 3), 255, np.uint8), image, ["人", "b"], 0.5)
    assert any(word.startswith("#n") for word in words)
    assert max(ends) <= Image.open(io.BytesIO(jpeg)).size[0]


def test_no_line_goes_through_a_text(answer: Any) -> None:
    objects = np.array([[20, 40, 60, 120], [27.5, 34, 180, 150]], np.float32)  # the edge of the second is behind "1 a"
    image = compare_image("x", answer(), objects, np.zeros(2, np.int64), 0.5)
    alone = compare_image("x", answer(), objects[:1], np.zeros(1, np.int64), 0.5)
    tags = [
        np.asarray(Image.open(io.BytesIO(draw(PIXELS, each, ["a"], 0.5)))).astype(int)[26 + 79 : 26 + 91, 48:72]
        for each in (image, alone)
    ]
    assert (np.abs(tags[0] - tags[1]) > 100).sum() == 0
