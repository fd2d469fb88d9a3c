"""Is a candidate at least as good as the champion? Asked on the same test images, or not at all."""

from __future__ import annotations

from pindet_serve.manifest import BundleError

from pindet.evaluation.answers import Answers
from pindet.evaluation.bootstrap import ALL, Draws
from pindet.promotion.bench import Bench
from pindet.promotion.comparison.again import answers_on, learnt_from
from pindet.promotion.comparison.answers import read_answers
from pindet.promotion.comparison.bootstrap import resample
from pindet.promotion.comparison.difference import Difference, difference
from pindet.promotion.comparison.measured_on import measured_on
from pindet.promotion.errors import PromotionError
from pindet.promotion.objects import Objects
from pindet.promotion.revision import BUNDLE, EVALUATION, Revision
from pindet.promotion.settings import PromotionSettings
from pindet.promotion.truth import Placement
from pindet.promotion.verdict import Verdict, passed, refused, warned

GATE = "comparison"
PER_IMAGE = "per_image.json"
_LITTLE = 0.1
"""A mAP below which a first release is warned of."""
FORM = "+.4f"
"""Of a difference, for a reader."""


def judge_comparison(
    bench: Bench, revision: Revision, champion: Placement | None, *, again: bool = False, override: str = ""
) -> Verdict:
    """Compare a candidate with what the stage holds.

    Args:
        again: let the champion's bundle answer the candidate's test images, where it was measured on others.
        override: a reason to promote whatever the comparison says; it goes into the tag.
    """
    verdict = _judge(bench, revision, champion, again)
    if verdict.is_open:
        return verdict
    if override:
        return warned(GATE, f"overridden ({override}): {verdict.reason}")
    return refused(GATE, f"{verdict.reason}; pindet compare shows it, --override-comparison promotes with a reason")


def answers_of(objects: Objects, revision: Revision) -> Answers:
    """What the model of a revision answered on its test images.

    Raises:
        PromotionError: they are not pinned, or can not be had.
    """
    entries = {entry.path: entry.md5 for entry in objects.listing(revision.out(EVALUATION))}
    if PER_IMAGE not in entries:
        raise PromotionError(f"{EVALUATION} of {revision.shown} holds no {PER_IMAGE}; run dvc repro evaluate there")
    return read_answers(objects.read(entries[PER_IMAGE]), revision.shown)


def draws_of(settings: PromotionSettings) -> Draws:
    """How the settings want test images to be drawn."""
    return Draws(settings.resamples, settings.confidence, settings.seed)


def _judge(bench: Bench, revision: Revision, champion: Placement | None, again: bool) -> Verdict:
    if champion is None:
        return _first(revision)
    if champion.commit == revision.commit:
        return passed(GATE, f"this is {champion.version}, which is released there")
    before = bench.at(champion.commit, champion.version)
    if before.outs.get(BUNDLE) == revision.outs.get(BUNDLE):
        return passed(GATE, f"the bundle is the very one of {champion.version}")
    try:
        reason = incomparable(bench.objects, revision, before)
        if reason and not again:
            return refused(GATE, f"{reason}; --measure-again lets {champion.version} answer the new test images")
        own, how = answers_of(bench.objects, revision), ""
        if reason:
            other = answers_on(bench.objects, before, own, revision)
            how = _how(len(own.names), learnt_from(bench.objects, before, revision))
        else:
            other = answers_of(bench.objects, before)
        found = _difference(bench, revision, before, own, other)
    except (PromotionError, BundleError) as error:
        return refused(GATE, f"it can not be made: {error}")
    return weigh(found, bench.settings, champion.version, how)


def _first(revision: Revision) -> Verdict:
    said = "nothing is released there yet; there is nothing to compare with"
    try:
        value = revision.metrics.get("test/map")
    except PromotionError as error:
        return refused(GATE, str(error))
    if value is None or value < _LITTLE:
        seen = "unknown" if value is None else f"{value:.3f}: it finds {'next to ' if value else ''}nothing"
        return warned(GATE, f"{said}, and its mAP is {seen}")
    return passed(GATE, f"{said}; its mAP is {value:.3f}")


def incomparable(objects: Objects, revision: Revision, other: Revision) -> str:
    """Why the metrics of two revisions must not be compared; empty if they may be."""
    here, there = measured_on(objects, revision), measured_on(objects, other)
    if here.test != there.test:
        return (
            f"{revision.shown} and {other.shown} were measured on different test data "
            f"(prepared data {here.data_md5} and {there.data_md5})"
        )
    if not answers_of(objects, revision).same_truth(answers_of(objects, other)):
        return f"{revision.shown} and {other.shown} were measured against different objects or classes"
    return ""


def _difference(bench: Bench, revision: Revision, before: Revision, own: Answers, other: Answers) -> Difference:
    draws = draws_of(bench.settings)
    one = resample(own, draws, f"comparing {revision.shown}")
    return difference(one, resample(other, draws, f"comparing {before.shown}"), draws)


def _how(images: int, seen: int) -> str:
    flattered = f", {seen} of which it had learnt from or was chosen with" if seen else ""
    return f" (measured again, on {images} new test images{flattered})"


def weigh(found: Difference, settings: PromotionSettings, version: str, how: str = "") -> Verdict:
    """Whether a difference to the champion ``version`` is one to promote with; ``how`` says how it was measured."""
    total = found.map[ALL]
    if not total.is_defined:
        return refused(GATE, f"nothing can be measured against {version}{how}: the test images have no objects")
    said = f"mAP {total.shown(FORM)} against {version}{how}"
    reasons = []
    if total.has_width and total.high < 0:
        reasons.append(f"worse beyond chance: {said}")
    elif total.value < -settings.max_drop:
        reasons.append(f"{said}; max_drop is {settings.max_drop:g}")
    for name, each in found.map.items():
        if name != ALL and each.value < -settings.max_class_drop:
            reasons.append(f"class {name}: {each.shown(FORM)}; max_class_drop is {settings.max_class_drop:g}")
    if reasons:
        return refused(GATE, "; ".join(reasons))
    worst = found.worst_class()
    tail = f"; least of all {worst[0]}: {worst[1].shown(FORM)}" if worst else ""
    return passed(GATE, f"{said}{tail}")
