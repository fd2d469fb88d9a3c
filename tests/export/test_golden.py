"""The images that a bundle is proved with."""

import numpy as np
import pytest
from pindet_serve.detections import Detections

from pindet.export.golden import choose_golden, golden_threshold, shrink


def found(*scored):
    """Objects of given labels and scores."""
    labels, scores = zip(*scored, strict=True) if scored else ((), ())
    boxes = np.zeros((len(scored), 4), np.float32)
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64))


IMAGES = [
    found(),
    found((0, 0.9), (0, 0.8)),
    found((0, 0.9)),
    found((0, 0.9)),
    found((1, 0.9), (1, 0.9), (1, 0.9)),
    found((0, 0.9), (2, 0.2)),
    found((2, 0.1)),
]


@pytest.mark.parametrize(
    ("threshold", "count", "expected"),
    [
        (0.5, 1, [2]),  # one class each, and the fewest objects
        (0.5, 2, [2, 4]),  # then the class that is missing
        (0.5, 9, [2, 4, 3, 5, 1]),  # then the fewest objects again, up to all that show something
        (0.15, 2, [5, 4]),  # two classes at once
    ],
)
def test_every_class_with_as_few_objects_as_possible(threshold, count, expected):
    assert choose_golden(IMAGES, threshold, count) == expected


def test_the_threshold_falls_only_when_nothing_reaches_it():
    assert golden_threshold(IMAGES, 0.5) == 0.5
    assert golden_threshold([IMAGES[6], IMAGES[0]], 0.5) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="finds nothing in the 1 images"):
        golden_threshold([IMAGES[0]], 0.5)


@pytest.mark.parametrize(("size", "expected"), [((50, 90), (50, 90)), ((300, 900), (53, 160)), ((900, 300), (160, 53))])
def test_large_images_are_shrunk(size, expected):
    assert shrink(np.zeros((*size, 3), np.uint8), 64, 64).shape[:2] == expected
