"""What a notebook shows of a model's mistakes."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pindet_serve.detections import Detections
from pindet_serve.images import Image

from pindet.data.prepared import PreparedSplit
from pindet.evaluation.comparison import KINDS, ImageComparison, Kind
from pindet.evaluation.crops import crop
from pindet.evaluation.suspects import DOUBTS, Doubt, Suspect
from pindet.notebooks.opening import NotReadyError, Project, check_made, said_plainly
from pindet.promotion.comparison.judge import PER_IMAGE
from pindet.promotion.errors import PromotionError
from pindet.promotion.evaluated import Evaluated, find_evaluated
from pindet.promotion.revision import EVALUATION, PREPARED


def evaluated_model(project: Project) -> Evaluated:
    """The evaluation of the champion, else of the workspace; what is laid out for it goes with this process.

    Raises:
        NotReadyError: it can not be had; the message says why.
    """
    folder = tempfile.TemporaryDirectory(prefix="pindet-evaluated-")
    atexit.register(folder.cleanup)
    with said_plainly(PromotionError):
        found = find_evaluated(project.root, Path(folder.name))
    if found.data.is_relative_to(project.root):
        check_made(project.root, f"{EVALUATION}/{PER_IMAGE}", f"{PREPARED}/test/annotations.json")
    with said_plainly(PromotionError):
        if found.answers.names != PreparedSplit(found.data, "test").names:
            raise NotReadyError(f"{EVALUATION} is not about the test images of {PREPARED}; run `make repro`.")
    return found


def crop_of(pixels: Image, row: Mapping[str, Any]) -> bytes:
    """JPEG of a doubtful label, cut out of its image uint8 ``[H, W, 3]``: a row of ``suspects.json``."""
    doubt, box = Doubt(row["doubt"]), row["labelled_box"]
    kind = next(kind for kind, found in DOUBTS.items() if found is doubt)
    score = float(row["score"])
    image = ImageComparison(
        name=row["file_name"],
        found=Detections(np.array([row["detected_box"]], np.float32), np.array([score], np.float32), np.zeros(1, int)),
        kinds=np.array([KINDS.index(Kind(kind))]),
        partners=np.array([-1 if box is None else 0]),
        ious=np.zeros(1),
        boxes=np.array([] if box is None else [box], np.float32).reshape(-1, 4),
        labels=np.zeros(0 if box is None else 1, np.int64),
    )
    return crop(pixels, image, Suspect(row["split"], 0, doubt, 0, None if box is None else 0, score))
