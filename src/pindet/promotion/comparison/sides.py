"""Revisions side by side: what each is, how good it is, and how much better than the one they are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pindet_serve.manifest import BundleError

from pindet.evaluation.answers import Answers
from pindet.evaluation.bootstrap import ALL, Estimate
from pindet.project import scratch
from pindet.promotion.bench import Bench
from pindet.promotion.comparison.again import answers_on, learnt_from
from pindet.promotion.comparison.bootstrap import Resampled, resample
from pindet.promotion.comparison.difference import Difference, difference
from pindet.promotion.comparison.judge import answers_of, draws_of, incomparable
from pindet.promotion.errors import PromotionError
from pindet.promotion.objects import ObjectError
from pindet.promotion.pinned import params_not_run
from pindet.promotion.revision import BUNDLE, PREPARED, WEIGHTS, Revision
from pindet.tracking.values import differing, flat_params

_MODEL = "model.onnx"


@dataclass(frozen=True)
class Side:
    """A revision in a comparison.

    Attributes:
        shown: as its user named it.
        commit: 40 hex digits.
        version: that it is released as, or nothing.
        bundle_md5: of its bundle.
        data_md5: of its prepared data.
        params: all parameters, flat, as text.
        not_run: those of them, ``params.yaml:training`` and so on, that are not what its results were made with.
        bytes: size of the bundle's model; ``None`` if it can not be had.
        latency_ms: median of one image on the machine that exported it; ``None`` if nobody knows.
        map: mAP of IoU 0.50:0.95 with its interval, for all classes and each.
        f1: at its operating point.
        difference: to the baseline on the same draws; ``None`` for the baseline, and where ``problem`` says why not.
        problem: why it can not be compared with the baseline.
        is_again: whether its bundle was measured again, on the test images of the last side.
        learnt_from: how many of these it was trained on or chosen with, which flatters it.
    """

    shown: str
    commit: str
    version: str
    bundle_md5: str
    data_md5: str
    params: dict[str, str]
    bytes: int | None
    latency_ms: float | None
    map: dict[str, Estimate]
    f1: Estimate
    difference: Difference | None = None
    problem: str = ""
    is_again: bool = False
    learnt_from: int = 0
    not_run: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sides:
    """A comparison; the first side is the baseline of all others.

    Attributes:
        sides: what is compared.
        revisions: of the sides.
        answers: of the sides, on the images that they are compared on.
    """

    sides: list[Side]
    revisions: list[Revision] = field(repr=False)
    answers: list[Answers] = field(repr=False)

    @property
    def baseline(self) -> Side:
        """What the others are compared with."""
        return self.sides[0]

    @property
    def classes(self) -> list[str]:
        """Every class of any side."""
        return list(dict.fromkeys(name for side in self.sides for name in side.map if name != ALL))

    @property
    def changed_params(self) -> dict[str, list[str]]:
        """The parameters that are not the same everywhere, with the value of each side."""
        return differing([side.params for side in self.sides])

    @property
    def has_changes(self) -> bool:
        """Whether anything could be compared with the first of them."""
        return any(side.difference for side in self.sides)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; undefined numbers are ``null``, all classes together are the class ``""``."""
        content = {"sides": [asdict(side) for side in self.sides], "changed_params": self.changed_params}
        defined: dict[str, Any] = _defined(content)
        return defined


def compare_sides(bench: Bench, revisions: Sequence[Revision], *, again: bool = False) -> Sides:
    """Compare revisions with the first of them.

    Args:
        again: let the bundles of those that were measured on other test images than the last one answer its images.

    Raises:
        PromotionError: one of them pins nothing to compare.
    """
    draws = draws_of(bench.settings)
    measured: list[Resampled] = []
    sides: list[Side] = []
    answers = [_answers(bench, revision) for revision in revisions]
    problems, learnt = _measured_again(bench, revisions, answers) if again else ({}, {})
    for i, revision in enumerate(revisions):
        measured.append(resample(answers[i], draws, f"comparing {revision.shown}"))
        found, problem = None, ""
        if sides:
            if again:
                problem = problems.get(i) or problems.get(0) or ""
            else:
                problem = incomparable(bench.objects, revision, revisions[0])
            found = None if problem else difference(measured[-1], measured[0], draws)
        side = _side(bench, revision, measured[-1], found, problem)
        sides.append(replace(side, is_again=problems.get(i) == "", learnt_from=learnt.get(i, 0)))
    return Sides(sides, list(revisions), answers)


def _measured_again(
    bench: Bench, revisions: Sequence[Revision], answers: list[Answers]
) -> tuple[dict[int, str], dict[int, int]]:
    """Put the answers on the last revision's test images in place of those on others.

    Returns:
        for each revision that was measured on others, by position, why it could not be asked, empty if it was; and
        how many of these images it had learnt from.
    """
    problems: dict[int, str] = {}
    learnt: dict[int, int] = {}
    for i, revision in enumerate(revisions):
        if incomparable(bench.objects, revision, revisions[-1]):
            try:
                seen = learnt_from(bench.objects, revision, revisions[-1])
                answers[i] = answers_on(bench.objects, revision, answers[-1], revisions[-1])
                problems[i], learnt[i] = "", seen
            except (PromotionError, BundleError) as error:
                problems[i] = str(error)
    return problems, learnt


def _answers(bench: Bench, revision: Revision) -> Answers:
    try:
        return answers_of(bench.objects, revision)
    except ObjectError as error:
        remedy = "run `make repro` here" if revision.is_workspace else "run `dvc push` where it was made"
        raise PromotionError(
            f"the answers of {revision.shown} on the test images can not be had: {error}; {remedy}, "
            "`dvc pull` where another DVC remote has it, or make it anew: `dvc repro` in a clone of that commit"
        ) from error


def _side(bench: Bench, revision: Revision, measured: Resampled, found: Difference | None, problem: str) -> Side:
    draws = draws_of(bench.settings)
    bundle = revision.outs.get(BUNDLE, "")
    return Side(
        shown=revision.shown,
        commit=revision.commit,
        version=(bench.truth.version_of(revision.commit) or "") if not revision.is_workspace else "",
        bundle_md5=bundle,
        data_md5=revision.outs.get(PREPARED, ""),
        params=flat_params(revision.params),
        bytes=_size(bench, bundle),
        latency_ms=_latency(bench, revision, bundle),
        map={name: draws.estimate(values) for name, values in measured.map.items()},
        f1=draws.estimate(measured.f1),
        difference=found,
        problem=problem,
        not_run=params_not_run(revision),
    )


def _size(bench: Bench, bundle: str) -> int | None:
    try:
        md5 = {entry.path: entry.md5 for entry in bench.objects.listing(bundle)}[_MODEL]
        place = bench.objects.place(md5)
        return place.stat().st_size if place else bench.objects.sizes([md5])[md5]
    except (PromotionError, KeyError):
        return None


def _latency(bench: Bench, revision: Revision, bundle: str) -> float | None:
    """Latency is in no hashed out: it is noted where the export ran, and in MLflow."""
    noted = scratch("latency", f"{bundle}.json")
    if noted.is_file():
        return float(json.loads(noted.read_text("utf-8"))["p50_ms"])
    run = bench.ask_mlflow(lambda registry: registry.find_run(bundle, revision.outs.get(WEIGHTS, "")))
    return run.metrics.get("export/latency/p50_ms") if run else None


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _defined(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(child) for child in value]
    return None if isinstance(value, float) and value != value else value
