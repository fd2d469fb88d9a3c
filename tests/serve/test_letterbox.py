"""Letterbox and back: boxes return to where they were, whatever the size and aspect of the image."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pindet_serve.letterbox import Letterbox

side = st.integers(1, 8000)
fraction = st.floats(0, 1, width=32)


@settings(max_examples=500, deadline=None)
@given(side, side, st.lists(fraction, min_size=4, max_size=4), st.sampled_from([(416, 416), (320, 640), (33, 7)]))
@example(1, 8000, [0.0, 0.25, 1.0, 0.75], (416, 416))
@example(8000, 1, [0.0, 0.25, 1.0, 0.75], (416, 416))
@example(1, 1, [0.0, 0.0, 1.0, 1.0], (416, 416))
def test_boxes_come_back_within_half_a_pixel(height, width, corners, target):
    box = np.array([corners], np.float32) * np.array([width, height] * 2, np.float32)
    placement = Letterbox(*target).place(height, width)

    letterboxed = placement.to_letterboxed(box)
    returned = placement.to_image(letterboxed)

    assert np.abs(returned - box).max() <= 0.5
    assert letterboxed.min() >= 0
    assert (letterboxed[0] <= np.array([target[1], target[0]] * 2) + 1e-3).all()


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (200, 400), (400, 200)])
def test_a_painted_object_lies_under_its_mapped_box(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    box = np.array([[width / 4, height / 4, width / 2, height / 2]], np.float32)
    image[height // 4 : height // 2, width // 4 : width // 2] = 255

    canvas, placement = Letterbox(100, 100, fill=0)(image)
    x1, y1, x2, y2 = placement.to_letterboxed(box)[0]
    bright_rows, bright_columns = np.nonzero(canvas[..., 0] > 127)

    assert abs(bright_columns.min() - x1) <= 1
    assert abs(bright_rows.min() - y1) <= 1
    assert abs(bright_columns.max() + 1 - x2) <= 1
    assert abs(bright_rows.max() + 1 - y2) <= 1


def test_an_image_of_the_right_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    canvas, _ = Letterbox(64, 96)(image)
    assert np.array_equal(canvas, image)


def test_the_border_is_the_fill():
    canvas, _ = Letterbox(100, 100, fill=7)(np.full((10, 100, 3), 200, np.uint8))
    assert (canvas[0] == 7).all()
    assert (canvas[50] == 200).all()


def test_boxes_outside_the_image_are_clipped():
    placement = Letterbox(100, 100).place(50, 100)
    returned = placement.to_image(np.array([[-5, 0, 120, 100]], np.float32))
    assert returned.tolist() == [[0, 0, 100, 50]]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"image_height": 0, "image_width": 4}, "image_height is 0"),
        ({"image_height": 4, "image_width": 4, "fill": 256}, "fill is 256"),
    ],
)
def test_impossible_settings_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        Letterbox(**settings_)
