"""Boxes follow the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pindet.training.augmentation import Augmentation

STILL: dict[str, float] = dict.fromkeys(
    ("horizontal_flip", "vertical_flip", "scale", "brightness", "contrast", "saturation", "hue", "visible"), 0.0
)
BOX = np.array([[20, 10, 50, 44]], np.float32)


def picture() -> np.ndarray:
    image = np.full((96, 128, 3), 100, np.uint8)
    image[10:44, 20:50] = 250
    return image


def apply(seed: int, image: np.ndarray | None = None, **changes: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return Augmentation(**(STILL | changes))(picture() if image is None else image, BOX, 128, 128, rng)


def bright(frame: np.ndarray) -> list[int]:
    y, x = np.nonzero(frame[..., 0] > 180)
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_nothing_changes_nothing() -> None:
    frame, boxes, kept = apply(0)
    np.testing.assert_array_equal(frame[16:112], picture())
    assert (frame[:16] == 114).all() and (frame[112:] == 114).all()
    np.testing.assert_allclose(boxes, np.add(BOX, [0, 16, 0, 16]))
    assert kept.tolist() == [True]


@pytest.mark.parametrize("seed", range(20))
def test_a_box_stays_around_its_object(seed: int) -> None:
    frame, boxes, _ = apply(seed, horizontal_flip=0.5, vertical_flip=0.5, scale=0.4)
    np.testing.assert_allclose(boxes[0], bright(frame), atol=1.01)


def test_flips_mirror_exactly() -> None:
    frame, boxes, _ = apply(0, horizontal_flip=1.0, vertical_flip=1.0)
    np.testing.assert_array_equal(frame[16:112], picture()[::-1, ::-1])
    np.testing.assert_allclose(boxes, [[128 - 50, 112 - 44, 128 - 20, 112 - 10]])


def test_a_box_cut_too_much_is_left_out() -> None:
    seen = [apply(seed, scale=0.7, visible=0.9) for seed in range(60)]
    assert {bool(kept[0]) for _, _, kept in seen} == {True, False}
    for frame, boxes, kept in seen:
        assert len(boxes) == kept.sum()
        assert (boxes >= 0).all() and (boxes <= 128).all()
        if not kept[0]:
            visible = (frame[..., 0] > 180).sum()
            assert visible == 0 or min(np.ptp(bright(frame)[::2]), np.ptp(bright(frame)[1::2])) < 128


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation", "hue"])
def test_each_colour_change_changes_colours_alone(change: str) -> None:
    image = picture()
    image[..., 2] = 30
    seen = [apply(seed, image, **{change: 0.4}) for seed in range(6)]
    assert all((boxes == seen[0][1]).all() for _, boxes, _ in seen)
    assert len({frame.tobytes() for frame, _, _ in seen}) > 3


def test_grey_stays_grey_when_saturation_and_hue_change() -> None:
    frame, _, _ = apply(3, saturation=0.8, hue=0.3)
    assert np.ptp(frame.astype(int), axis=-1).max() <= 1
    np.testing.assert_allclose(frame[16:112].astype(int), picture(), atol=1)


def test_an_image_without_objects() -> None:
    none = np.zeros((0, 4), np.float32)
    _, boxes, kept = Augmentation(**(STILL | {"scale": 0.5}))(picture(), none, 128, 128, np.random.default_rng(0))
    assert boxes.shape == (0, 4)
    assert kept.shape == (0,)


WRONG = [("horizontal_flip", 1.1), ("scale", 0.95), ("hue", 0.6), ("visible", -0.1)]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"augmentation\.{name} is {value}; 0 to"):
        Augmentation(**(STILL | {name: value}))
