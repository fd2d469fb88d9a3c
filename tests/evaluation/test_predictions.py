"""Asking the model: batches, limits, progress, and answers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pindet_serve.detections import Detections

from pindet.evaluation.predictions import predict_split


@pytest.fixture
def split(make_splits: Any) -> Any:
    return make_splits(["a", "b"], {}, {f"{i}.png": [] for i in range(5)})[1]


def test_batches_cover_every_image_in_order(split: Any, answer: Any, caplog: Any) -> None:
    sizes, seen = [], []

    def predict(images: Any) -> list[Detections]:
        sizes.append(len(images))
        seen.extend(image.tobytes() for image in images)
        return [answer((0, 0, 1, 1, 0.1, 0), (0, 0, 2, 2, 0.9, 1), (0, 0, 3, 3, 0.5, 1)) for _ in images]

    caplog.set_level("INFO")
    found = predict_split(predict, split, batch_size=2, max_detections=2)
    assert sizes == [2, 2, 1]
    assert seen == [split.image(i).tobytes() for i in range(5)]
    assert [f.scores.tolist() for f in found] == [pytest.approx([0.9, 0.5])] * 5
    assert [r.getMessage() for r in caplog.records if r.name.endswith("predictions")] == [
        "test: detecting, image 1 of 5",
        "test: detecting, image 3 of 5",
        "test: detecting, image 5 of 5",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 0, 1, 1, np.nan, 0)], "not finite"),
        ([(0, 0, np.inf, 1, 0.5, 0)], "not finite"),
        ([(0, 0, 1, 1, 0.5, 2)], r"labels \[2\] for 2 classes"),
        ([(0, 0, 1, 1, 0.5, -1)], r"labels \[-1\] for 2 classes"),
    ],
)
def test_an_answer_that_is_none_is_refused(split: Any, answer: Any, rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"0.png.*{message}"):
        predict_split(lambda images: [answer(*rows) for _ in images], split, batch_size=4, max_detections=9)


def test_one_answer_for_each_image(split: Any, answer: Any) -> None:
    with pytest.raises(ValueError, match="1 answers for 2 images"):
        predict_split(lambda images: [answer() for _ in images[1:]], split, batch_size=2, max_detections=9)


def test_long_splits_log_ten_lines(make_splits: Any, answer: Any, caplog: Any) -> None:
    _, split = make_splits(["a"], {}, {f"{i:02d}.png": [] for i in range(35)})
    caplog.set_level("INFO")
    predict_split(lambda images: [answer() for _ in images], split, batch_size=1, max_detections=9)
    assert sum(r.name.endswith("predictions") for r in caplog.records) == 10
