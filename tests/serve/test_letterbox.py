"""Letterbox and back: boxes return to where they were, whatever the size and aspect of the image."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pindet_serve.letterbox import Letterbox

WAYS = ["area", "pyramid"]
ways = st.sampled_from(WAYS)
side = st.integers(1, 8000)
fraction = st.floats(0, 1, width=32)


@settings(max_examples=500, deadline=None)
@given(side, side, st.lists(fraction, min_size=4, max_size=4), st.sampled_from([(416, 416), (320, 640), (33, 7)]), ways)
@example(1, 8000, [0.0, 0.25, 1.0, 0.75], (416, 416), "pyramid")
@example(8000, 1, [0.0, 0.25, 1.0, 0.75], (416, 416), "pyramid")
@example(1, 1, [0.0, 0.0, 1.0, 1.0], (416, 416), "area")
def test_boxes_come_back_within_half_a_pixel(height, width, corners, target, way):
    box = np.array([corners], np.float32) * np.array([width, height] * 2, np.float32)
    placement = Letterbox(*target, resampling=way).place(height, width)

    letterboxed = placement.to_letterboxed(box)
    returned = placement.to_image(letterboxed)

    assert np.abs(returned - box).max() <= 0.5
    assert letterboxed.min() >= 0
    assert (letterboxed[0] <= np.array([target[1], target[0]] * 2) + 1e-3).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (200, 400), (400, 200)])
def test_a_painted_object_lies_under_its_mapped_box(height, width, way):
    image = np.zeros((height, width, 3), np.uint8)
    box = np.array([[width / 4, height / 4, width / 2, height / 2]], np.float32)
    image[height // 4 : height // 2, width // 4 : width // 2] = 255

    canvas, placement = Letterbox(100, 100, fill=0, resampling=way)(image)
    x1, y1, x2, y2 = placement.to_letterboxed(box)[0]
    bright_rows, bright_columns = np.nonzero(canvas[..., 0] > 127)

    assert abs(bright_columns.min() - x1) <= 1
    assert abs(bright_rows.min() - y1) <= 1
    assert abs(bright_columns.max() + 1 - x2) <= 1
    assert abs(bright_rows.max() + 1 - y2) <= 1


@pytest.mark.parametrize("way", WAYS)
def test_an_image_of_the_right_size_is_untouched(way):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    canvas, _ = Letterbox(64, 96, resampling=way)(image)
    assert np.array_equal(canvas, image)


def test_twice_and_four_times_too_large_is_the_mean_of_four_pixels_once_and_twice():
    image = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    once = halved(image)
    assert np.array_equal(Letterbox(64, 96)(image)[0], once)
    assert np.array_equal(Letterbox(32, 48)(image)[0], halved(once))


def halved(image):
    """In plain NumPy: the mean of two by two pixels, a half rounded up."""
    height, width, _ = image.shape
    sums = image.reshape(height // 2, 2, width // 2, 2, 3).astype(int).sum((1, 3))
    return (sums + 2) // 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("width", [300, 416, 640, 831, 832, 833, 1023, 1663, 1667, 3327, 4001, 4175])
def test_an_edge_lies_where_its_box_does_whatever_the_size(width, way):
    edge = width - width // 16
    image = np.full((8, width, 3), 240, np.uint8)
    image[:, edge:] = 0
    canvas, placement = Letterbox(16, 416, resampling=way)(image)
    expected = placement.to_letterboxed(np.array([[edge] * 4], np.float32))[0, 0]
    assert canvas[placement.top, :, 0].sum() / 240 == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("height", "width"), [(7, 9999), (31, 4000), (9999, 7), (31, 3999)])
def test_of_a_thin_image_too_every_part_is_seen(height, width, way):
    image = np.zeros((height, width, 3), np.uint8)
    image[(height + 1) // 2 :, (width + 1) // 2 :] = 240
    canvas, placement = Letterbox(320, 416, fill=0, resampling=way)(image)
    pixel = height * width / (placement.resized_height * placement.resized_width)
    assert canvas[..., 0].sum() / 240 * pixel == pytest.approx(height * width / 4, rel=0.3)
    whole = placement.to_letterboxed(np.array([[0, 0, width, height]], np.float32))[0]
    assert (whole[2:] > whole[:2]).all()
    assert whole[0] >= placement.left and whole[2] <= placement.left + placement.resized_width
    assert whole[1] >= placement.top and whole[3] <= placement.top + placement.resized_height


@pytest.mark.parametrize("width", [832, 1664, 3328])
def test_where_it_is_twice_too_large_no_pixel_is_left_out(width):
    image = np.zeros((6, width, 3), np.uint8)
    image[:, ::2] = 200  # every other column: the finest pattern
    for way in WAYS:
        canvas, placement = Letterbox(6, 416, resampling=way)(image)
        assert np.abs(canvas[placement.top].astype(int) - 100).max() <= 1, way


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
        (
            {"image_height": 4, "image_width": 4, "resampling": "cubic"},
            "'cubic'; allowed are area, pyramid",
        ),
    ],
)
def test_impossible_settings_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        Letterbox(**settings_)
