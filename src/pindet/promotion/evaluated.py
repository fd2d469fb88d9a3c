"""What the evaluation of a model wrote, with the images it was asked about: of the champion, else of the workspace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pindet_serve.detections import Detections

from pindet.evaluation.answers import Answers
from pindet.evaluation.comparison import ImageComparison, compare_image
from pindet.promotion.bench import Access, Bench, open_bench
from pindet.promotion.comparison.answers import read_answers
from pindet.promotion.comparison.judge import PER_IMAGE
from pindet.promotion.errors import PromotionError
from pindet.promotion.objects import Objects, entries
from pindet.promotion.revision import CHAMPION, EVALUATION, PREPARED, WORKSPACE

_SPLITS = ("val/", "test/")


@dataclass(frozen=True)
class Evaluated:
    """One model's evaluation.

    Attributes:
        shown: which model: ``v1.2.0 (production)``, or ``workspace``.
        report: the folder that the evaluate stage wrote.
        data: the prepared data that it was evaluated on, splits val and test.
    """

    shown: str
    report: Path
    data: Path

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of one of its files: ``errors``, ``classes``, ``confusion``, ``suspects`` and so on."""
        content: list[dict[str, Any]] = json.loads((self.report / f"{name}.json").read_text("utf-8"))
        return content

    @cached_property
    def answers(self) -> Answers:
        """What the model answered on each test image.

        Raises:
            PromotionError: it is not as the evaluate stage writes it.
        """
        return read_answers(self.report / PER_IMAGE, self.shown)

    @cached_property
    def images(self) -> list[ImageComparison]:
        """Each test image: the model's detections beside the objects."""
        answers = self.answers
        rows = zip(answers.names, answers.detections, answers.truths, strict=True)
        return [
            compare_image(
                name, _detections(found), truth[:, :4].astype(np.float32), truth[:, 4].astype(np.int64),
                answers.iou_threshold,
            )
            for name, found, truth in rows
        ]  # fmt: skip


def find_evaluated(root: Path, folder: Path) -> Evaluated:
    """Return the champion's evaluation, or that of the workspace where nothing is released; the project stays as it is.

    Args:
        root: the project.
        folder: an empty one, for what the champion's commit pins: links into DVC's cache, or what the remote has.

    Raises:
        PromotionError: this is no project with git and DVC, or what the champion's commit pins can not be had.
    """
    with open_bench(root, Access(mlflow=False), refresh=False, registry=False) as bench:
        if bench.truth.placed("production"):
            return _champion(bench, folder)
        return Evaluated(WORKSPACE, bench.root / EVALUATION, bench.root / PREPARED)


def _champion(bench: Bench, folder: Path) -> Evaluated:
    revision = bench.revision(CHAMPION)
    report, data = folder / EVALUATION, folder / PREPARED
    _lay_out(bench.objects, revision.out(EVALUATION), report, ("",))
    _lay_out(bench.objects, revision.out(PREPARED), data, _SPLITS)
    return Evaluated(revision.shown, report, data)


def _lay_out(objects: Objects, md5: str, target: Path, starts: tuple[str, ...]) -> None:
    """Make the files of a folder that DVC keeps appear in ``target``, those whose path begins as wanted."""
    listing = target.with_name(f"{target.name}.listing")
    for entry in entries(_had(objects, md5, listing), md5):
        if entry.path.startswith(starts):
            path = target / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            _had(objects, entry.md5, path)
    if not target.is_dir():
        raise PromotionError(f"{target.name} of the champion is empty; run dvc repro in its commit")


def _had(objects: Objects, md5: str, path: Path) -> Path:
    place = objects.place(md5)
    if place is None:
        objects.download(md5, path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(place.absolute())
    return path


def _detections(rows: NDArray[np.float64]) -> Detections:
    boxes, scores, labels = rows[:, :4], rows[:, 4], rows[:, 5]
    return Detections(boxes.astype(np.float32), scores.astype(np.float32), labels.astype(np.int64))
