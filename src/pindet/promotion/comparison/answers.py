"""``reports/evaluate/per_image.json``, read back."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pindet.evaluation.answers import Answers
from pindet.promotion.errors import PromotionError


@lru_cache(maxsize=4)  # a file's name is its md5; one comparison asks for the same answers several times
def read_answers(path: Path, origin: str) -> Answers:
    """Read ``per_image.json``.

    Raises:
        PromotionError: it is not as the evaluate stage writes it; ``origin`` says whose it is.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        images = content["images"]
        return Answers(
            classes=[str(name) for name in content["classes"]],
            score_threshold=float(content["score_threshold"]),
            iou_threshold=float(content["iou_threshold"]),
            names=[str(image["file_name"]) for image in images],
            truths=[np.array(image["truths"], np.float64).reshape(-1, 5) for image in images],
            detections=[np.array(image["detections"], np.float64).reshape(-1, 6) for image in images],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PromotionError(
            f"per_image.json of {origin} is not as evaluate writes it ({error!r}); run dvc repro evaluate there"
        ) from error
