"""The test images on which two models differ, and their pixels."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from pindet_serve.images import Image, decode_image

from pindet.evaluation.answers import Answers
from pindet.evaluation.comparison import ImageComparison
from pindet.evaluation.gallery import mistakes
from pindet.promotion.comparison.operating import compared
from pindet.promotion.errors import PromotionError
from pindet.promotion.objects import Objects
from pindet.promotion.revision import PREPARED, Revision


@dataclass(frozen=True)
class Change:
    """An image that two models see differently.

    Attributes:
        position: of the image in the test split.
        name: of the image.
        before: the baseline beside the objects; ``after``: the other.
        fewer: how many mistakes fewer the other makes; negative is worse.
    """

    position: int
    name: str
    before: ImageComparison
    after: ImageComparison
    fewer: int


def find_changes(baseline: Answers, other: Answers) -> list[Change]:
    """Images whose mistakes or found objects differ at each model's own threshold, the worst for the other first."""
    changes = []
    for i, name in enumerate(other.names):
        before, after = compared(baseline, i), compared(other, i)
        was, now = (_mistakes(baseline, before), _mistakes(other, after))
        found = before.objects_found(_threshold(baseline)), after.objects_found(_threshold(other))
        if was != now or not np.array_equal(*found):
            changes.append(Change(i, name, before, after, was - now))
    return sorted(changes, key=lambda change: (change.fewer, change.position))


def read_pixels(objects: Objects, revision: Revision, name: str) -> Image:
    """A test image, uint8 ``[H, W, 3]`` RGB.

    Raises:
        PromotionError: it can not be had.
    """
    files = {entry.path: entry.md5 for entry in objects.listing(revision.out(PREPARED))}
    try:
        place = json.loads(objects.read(files["test/index.json"]).read_text("utf-8"))[name]
        with objects.read(files[f"test/{place['shard']}"]).open("rb") as file:
            file.seek(int(place["offset"]))
            return decode_image(file.read(int(place["size"])))
    except (KeyError, ValueError) as error:
        raise PromotionError(f"the test image {name} of {revision.shown} can not be had: {error}") from error


def _threshold(answers: Answers) -> float:
    return float(np.float32(answers.score_threshold))


def _mistakes(answers: Answers, image: ImageComparison) -> int:
    return len(mistakes(image, _threshold(answers)))
