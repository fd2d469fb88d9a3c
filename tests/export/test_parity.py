"""What counts as agreement between the trained model and the bundle."""

import dataclasses

import numpy as np
import pytest
from pindet_serve.detections import Detections

from pindet.export.parity import ParityError, check, compare

LENIENT = {
    "parity_min_iou": 0.0,
    "parity_max_score_difference": 1.0,
    "parity_max_unmatched_fraction": 1.0,
    "parity_max_map_difference": 1.0,
}


def detections(*rows):
    """Rows of x, y, side, score, label."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    corners = table[:, :2]
    return Detections(
        np.concatenate([corners, corners + table[:, 2:3]], 1), table[:, 3].copy(), table[:, 4].astype(np.int64)
    )


TRAINED = detections((0, 0, 100, 0.9, 0), (0, 0, 100, 0.8, 1), (200, 0, 50, 0.5, 0), (300, 0, 50, 0.01, 0))
SAME = TRAINED
MOVED = detections((2, 0, 100, 0.9, 0), (0, 0, 100, 0.8, 1), (200, 0, 50, 0.5, 0), (300, 0, 50, 0.01, 0))
RESCORED = detections((0, 0, 100, 0.88, 0), (0, 0, 100, 0.8, 1), (200, 0, 50, 0.5, 0), (300, 0, 50, 0.01, 0))
RELABELLED = detections((0, 0, 100, 0.9, 0), (0, 0, 100, 0.8, 1), (200, 0, 50, 0.5, 1), (300, 0, 50, 0.01, 0))
LOST = detections((0, 0, 100, 0.9, 0), (0, 0, 100, 0.8, 1), (300, 0, 50, 0.01, 0))
MORE = detections((0, 0, 100, 0.9, 0), (0, 0, 100, 0.8, 1), (200, 0, 50, 0.5, 0), (0, 200, 50, 0.4, 0))
FAINT = detections((0, 0, 100, 0.9, 0), (0, 0, 100, 0.8, 1), (200, 0, 50, 0.5, 0), (0, 200, 50, 0.04, 0))


class OnePicture:
    """A split of one image, 400 x 400."""

    def __init__(self, *boxes):
        self._boxes = boxes

    def __len__(self):
        return 1

    classes = ("a", "b")

    def coco(self):
        return {
            "images": [{"id": 1, "file_name": "x.png", "width": 400, "height": 400}],
            "annotations": [
                {"id": i, "image_id": 1, "category_id": 1, "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
                for i, box in enumerate(self._boxes, 1)
            ],
            "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        }


def agrees(bundle, settings, split=None):
    check(compare(split or OnePicture(), [TRAINED], [bundle], settings), settings)


@pytest.mark.parametrize("bundle", [SAME, FAINT], ids=["the same", "a faint object more"])
def test_agreement(bundle, settings):
    agrees(bundle, settings)


@pytest.mark.parametrize(
    "bundle", [MOVED, RESCORED, RELABELLED, LOST, MORE], ids=["moved", "rescored", "relabelled", "lost", "more"]
)
def test_disagreement(bundle, settings):
    with pytest.raises(ParityError, match="have no counterpart"):
        agrees(bundle, settings)


@pytest.mark.parametrize(
    ("bundle", "changes"),
    [
        (MOVED, {"parity_min_iou": 0.95}),
        (RESCORED, {"parity_max_score_difference": 0.03}),
        (LOST, {"parity_max_unmatched_fraction": 0.2}),
        (MORE, {"parity_score_floor": 0.45}),
    ],
)
def test_each_limit_decides_about_what_it_names(bundle, changes, settings):
    agrees(bundle, dataclasses.replace(settings, **changes))
    others = {key: value for key, value in LENIENT.items() if key not in changes and "unmatched" not in key}
    with pytest.raises(ParityError):
        agrees(bundle, dataclasses.replace(settings, **others))


def test_the_map_alone_is_enough_to_refuse(settings):
    split = OnePicture((0, 0, 100, 100), (200, 0, 50, 50))
    lenient = dataclasses.replace(settings, parity_max_unmatched_fraction=1.0)
    agrees(SAME, lenient, split)
    with pytest.raises(ParityError, match=r"test map is 0\.5\d+ with the bundle and 1\.0 with the trained model"):
        agrees(LOST, lenient, split)
    agrees(LOST, dataclasses.replace(lenient, parity_max_map_difference=0.6), split)


def test_what_is_measured(settings):
    assert compare(OnePicture(), [TRAINED], [MOVED], settings) == {
        "images": 1,
        "objects_trained": 3,
        "objects_bundle": 3,
        "pairs": 3,
        "pairs_apart": 1,
        "unmatched": 0,
        "iou_min": 0.9608,
        "iou_mean": round((2 + 98 / 102) / 3, 4),
        "score_difference_max": 0.0,
    }


def test_an_object_answers_to_one_only(settings):
    twice = detections((0, 0, 100, 0.9, 0), (1, 0, 100, 0.8, 0))
    once = detections((0, 0, 100, 0.9, 0))
    parity = compare(OnePicture(), [twice], [once], settings)
    assert (parity["pairs"], parity["unmatched"], parity["iou_min"]) == (1, 1, 1.0)


def test_nothing_on_either_side_is_agreement(settings):
    nothing = detections()
    parity = compare(OnePicture(), [nothing], [nothing], settings)
    check(parity, settings)
    assert (parity["pairs"], "iou_min" in parity) == (0, False)
