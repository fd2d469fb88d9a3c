"""Back to an earlier version of a stage."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.carrying_out import Say, carry_out
from pindet.promotion.effects.release import WriteRelease
from pindet.promotion.effects.tagging import WriteTags
from pindet.promotion.effects.upload import UploadObjects
from pindet.promotion.errors import PromotionError, RefusedError
from pindet.promotion.gates import check_names, check_stage, judge_bundle, judge_objects
from pindet.promotion.promote import Outcome, Show, finish
from pindet.promotion.rehearsal import judge_release
from pindet.promotion.revision import BUNDLE
from pindet.promotion.truth import ROLLBACK, never_held


def rollback(
    bench: Bench, stage: str, show: Show, say: Say, *, to: str = "", message: str = "", dry_run: bool = False
) -> Outcome:
    """Put an earlier version into a stage again, or finish a rollback to it that was cut.

    Args:
        to: the version; empty for the one that the stage held before, or that of a rollback which was cut.

    Raises:
        RefusedError: the earlier bundle is not there any more, does not prove itself, or can not be released.
        PromotionError: there is no such version, the stage never held it, or it held no earlier one.
        LostError, IncompleteError: as of a promotion.
    """
    check_stage(bench, stage)
    version = to or _cut(bench, stage, say) or _before(bench, stage)
    revision = bench.at(bench.truth.commit_of(version), version)
    placed = bench.truth.placed(stage)
    if placed is None or placed.version != version:
        reason = never_held(stage, version, bench.truth.before(stage))
        if reason:
            raise PromotionError(reason)
    check_names(bench, version, stage)
    outcome = Outcome(stage, version, revision.commit, revision.out(BUNDLE), dry_run=dry_run)
    objects, inventory = judge_objects(bench, revision, only_bundle=True)
    outcome.verdicts.append(objects)
    show(objects)
    if objects.is_open and inventory.to_upload and not dry_run:
        outcome.changed = carry_out([UploadObjects(bench, inventory.to_upload)], say, is_tagged=False)
    if objects.is_open:
        proof = judge_bundle(bench, revision, in_remote=not dry_run or not inventory.to_upload)
        release = judge_release(bench, revision, version, stage, inventory.to_upload)
        for verdict in (proof, release):
            outcome.verdicts.append(verdict)
            show(verdict)
    closed = [verdict.gate for verdict in outcome.verdicts if not verdict.is_open]
    if closed:
        error = RefusedError(f"not rolled back; closed: {', '.join(closed)}")
        error.outcome = outcome
        raise error
    if not dry_run:
        tagging = WriteTags(bench, revision.commit, version, stage, message, ROLLBACK)
        outcome.changed |= carry_out([tagging], say, is_tagged=False)
        finish(bench, outcome, "rolled_back", say)
    return outcome


def _cut(bench: Bench, stage: str, say: Say) -> str:
    """The version of a rollback that is tagged and no server has heard of; nothing if there is none."""
    placed = bench.truth.placed(stage)
    if placed is None or not placed.tag.goes_back:
        return ""
    if WriteRelease(bench, stage).is_followed():
        return ""
    say(f"the rollback of {stage} to {placed.version} was cut: this finishes it, and goes no further back", "note")
    return placed.version


def _before(bench: Bench, stage: str) -> str:
    earlier = bench.truth.earlier(stage)
    if earlier is not None:
        return earlier.version
    placed, others = bench.truth.placed(stage), bench.truth.before(stage)
    if placed is None:
        raise PromotionError(f"{stage} can not be rolled back: it holds nothing; pindet promote fills it")
    if not others:
        raise PromotionError(f"{stage} can not be rolled back: {placed.version} is the only version that it ever held")
    raise PromotionError(
        f"{stage} can not be rolled back: it holds {placed.version}, and there is nothing before it that was not "
        f"rolled back; name a version with --to: {', '.join(others)}"
    )
