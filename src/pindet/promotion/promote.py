"""From a commit to a stage: gates, then effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.carrying_out import Say, carry_out, following
from pindet.promotion.comparison.judge import judge_comparison
from pindet.promotion.effects.tagging import WriteTags
from pindet.promotion.effects.upload import UploadObjects
from pindet.promotion.errors import PromotionError, RefusedError
from pindet.promotion.gates import (
    check_names,
    check_stage,
    judge_bundle,
    judge_lock,
    judge_objects,
    judge_tracking,
    judge_tree,
)
from pindet.promotion.rehearsal import judge_release
from pindet.promotion.revision import BUNDLE, Revision
from pindet.promotion.truth import OVERRIDDEN, PROMOTION, Placement
from pindet.promotion.verdict import Verdict
from pindet.promotion.versions import Bump, numbers

Show = Callable[[Verdict], None]


@dataclass(frozen=True)
class Wish:
    """What is to be promoted.

    Attributes:
        stage: where to.
        rev: a commit, branch, tag, experiment or version; empty for the last commit of a clean tree.
        version: its new version; empty for the next one.
        bump: which number of the version grows.
        message: what the tag says.
        again: let the champion's bundle answer the test images where it was measured on others.
        override: a reason to promote whatever the comparison says.
    """

    stage: str = "production"
    rev: str = ""
    version: str = ""
    bump: Bump = Bump.minor
    message: str = ""
    again: bool = False
    override: str = ""


@dataclass
class Outcome:
    """What came of a promotion.

    Attributes:
        stage: that was to be filled.
        version: that it holds now, or would hold.
        commit: of that version.
        bundle_md5: of that version.
        verdicts: of the gates.
        changed: whether anything was.
        dry_run: whether nothing was meant to change.
        holds: version that the stage holds at the end, another one when another promotion came after this one; empty
            when it was emptied, ``None`` when this one did not get that far.
    """

    stage: str
    version: str
    commit: str
    bundle_md5: str
    verdicts: list[Verdict] = field(default_factory=list)
    changed: bool = False
    dry_run: bool = False
    holds: str | None = None

    def shown(self, artifact: str) -> str:
        """The end of it in a line."""
        if self.holds in (None, self.version):
            verb = "is already" if self.dry_run and self.holds else "would be" if self.dry_run else "is"
            return f"{self.stage} {verb} {artifact} {self.version} ({self.bundle_md5})"
        after = f"the tag of {self.version} was followed by another promotion's"
        return f"{self.stage} is {artifact} {self.holds or 'nothing'}: {after}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "verdicts": [verdict.to_dict() for verdict in self.verdicts]}


def promote(bench: Bench, wish: Wish, show: Show, say: Say, *, dry_run: bool = False) -> Outcome:
    """Promote what was wished for, or finish a promotion of it that was cut; with ``dry_run``, judge only.

    Raises:
        RefusedError: a gate is closed.
        LostError: another promotion was faster.
        IncompleteError: it is tagged, and a later step failed.
        PromotionError: it can not be judged or carried out at all.
    """
    check_stage(bench, wish.stage)
    revision = bench.revision(wish.rev or "HEAD")
    if revision.is_workspace:
        raise PromotionError(
            f"--rev is {wish.rev!r}, which is no commit, and a tag needs one: commit dvc.lock with what it was made "
            "of, then run pindet promote without --rev"
        )
    version = _version(bench, wish, revision)
    check_names(bench, version, wish.stage)
    outcome = Outcome(wish.stage, version, revision.commit, revision.outs.get(BUNDLE, ""), dry_run=dry_run)

    def judged(verdict: Verdict) -> bool:
        outcome.verdicts.append(verdict)
        show(verdict)
        return verdict.is_open

    judged(judge_tree(bench, is_named=bool(wish.rev)))
    if not judged(judge_lock(bench, revision)) and not outcome.bundle_md5:
        raise _refusal(outcome)
    judged(judge_tracking(bench, revision))
    champion = bench.truth.placed(wish.stage)
    judged(judge_comparison(bench, revision, champion, again=wish.again, override=wish.override))
    objects, inventory = judge_objects(bench, revision)
    if judged(objects):
        if dry_run or inventory.to_upload:
            judged(judge_bundle(bench, revision, in_remote=not inventory.to_upload))
        judged(judge_release(bench, revision, version, wish.stage, inventory.to_upload))
    if not all(verdict.is_open for verdict in outcome.verdicts):
        raise _refusal(outcome)
    if dry_run:
        outcome.holds = champion.version if champion and champion.commit == revision.commit else None
        return outcome
    if inventory.to_upload:
        outcome.changed = carry_out([UploadObjects(bench, inventory.to_upload)], say, is_tagged=False)
    if not judged(judge_bundle(bench, revision, in_remote=True)):
        raise _refusal(outcome)
    _release(bench, wish, outcome, champion, say)
    return outcome


def _release(bench: Bench, wish: Wish, outcome: Outcome, champion: Placement | None, say: Say) -> None:
    message = "\n".join(filter(None, [wish.message, f"{OVERRIDDEN}{wish.override}" if wish.override else ""]))
    tagging = WriteTags(bench, outcome.commit, outcome.version, wish.stage, message, PROMOTION)
    was = champion.version if champion else "nothing"
    outcome.changed |= carry_out([tagging], say, is_tagged=False)
    say(f"{wish.stage} held {was}, holds {outcome.version}", "note")
    finish(bench, outcome, "promoted", say)


def finish(bench: Bench, outcome: Outcome, happened: str, say: Say) -> None:
    """Make everything follow the tags that are written, and note what the stage holds then.

    Args:
        happened: what the status bus is told: ``promoted`` or ``rolled_back``.
    """
    outcome.changed |= carry_out(following(bench, outcome.stage, happened), say, is_tagged=True)
    placed = bench.truth.placed(outcome.stage)
    outcome.holds = placed.version if placed else ""


def _version(bench: Bench, wish: Wish, revision: Revision) -> str:
    known = bench.truth.version_of(revision.commit)
    if wish.version:
        numbers(wish.version)
        if known and known != wish.version:
            raise RefusedError(f"{revision.shown} is {known} already; a commit has one version, leave --version out")
        taken = bench.truth.versions.get(wish.version)
        if taken and taken.commit != revision.commit:
            raise RefusedError(
                f"{wish.version} is commit {taken.commit[:7]} already; leave --version out, or take another"
            )
        occupied = bench.truth.occupied(wish.version)
        if occupied:
            raise RefusedError(
                f"--version {wish.version} can not be given: {occupied}; leave --version out, or take another"
                f"{_deletion(bench, wish.version)}"
            )
    return known or wish.version or bench.truth.next_version(wish.bump)


def _deletion(bench: Bench, version: str) -> str:
    tag, remote = bench.truth.version_tag(version), bench.repository.remote
    if tag not in {*bench.truth.lightweight, *bench.truth.unshared}:
        return ""
    there = f", and git push {remote} ':refs/tags/{tag}' if it is there, too" if remote else ""
    return f", or delete that tag: git tag -d '{tag}'{there}"


def _refusal(outcome: Outcome) -> RefusedError:
    closed = [verdict.gate for verdict in outcome.verdicts if not verdict.is_open]
    error = RefusedError(f"not promoted; closed: {', '.join(closed)}")
    error.outcome = outcome
    return error
