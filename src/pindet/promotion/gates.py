"""The gates before a release: each looks at one thing and says what it saw."""

from __future__ import annotations

import re

from pindet_serve.manifest import BundleError

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError, RefusedError
from pindet.promotion.objects import ObjectError
from pindet.promotion.pinned import stale
from pindet.promotion.proof import damaged, prove_cached, prove_remote
from pindet.promotion.pushed import Inventory, take_inventory
from pindet.promotion.revision import BUNDLE, RESERVED, WEIGHTS, Revision
from pindet.promotion.verdict import Verdict, passed, refused, warned

_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*[A-Za-z0-9]")
_SHOWN = 5


def check_stage(bench: Bench, stage: str) -> None:
    """Refuse a stage that git, S3 or MLflow could not name, or not tell from another.

    Raises:
        PromotionError: a name that is not allowed, or an alias that MLflow does not take or another stage has.
    """
    if stage in RESERVED:
        raise PromotionError(
            f"the stage is {stage!r}, which names something else ({', '.join(RESERVED)}); take another"
        )
    if not _STAGE.fullmatch(stage):
        raise PromotionError(f"the stage is {stage!r}; letters, digits, - and _ are allowed, as in production")
    from pindet.tracking.registry import check_alias

    try:
        check_alias(bench.alias(stage))
    except ValueError as error:
        raise PromotionError(f"stage {stage}: {error}; in promotion.yaml: aliases: {{{stage}: NAME}}") from error
    known = {*bench.truth.stages, *bench.settings.aliases} - {stage}
    others = sorted(other for other in known if bench.alias(other) == bench.alias(stage))
    if others:
        raise PromotionError(
            f"stage {stage}: MLflow's alias {bench.alias(stage)} is that of {', '.join(others)}, too; give it another "
            f"one in promotion.yaml: aliases: {{{stage}: NAME}}"
        )


def check_names(bench: Bench, version: str, stage: str) -> None:
    """Refuse to number new tags where this clone has tags of these names for itself.

    Raises:
        RefusedError: it has, and the git remote has not.
    """
    names, remote = bench.truth.in_the_way(version, stage), bench.repository.remote
    if names:
        quoted = " ".join(f"'{name}'" for name in names)
        raise RefusedError(
            f"{', '.join(names)} would be written, but this clone has a tag of that name that is not on {remote} and "
            f"counts for nothing; git tag -d {quoted}, then run the same command again"
        )


def judge_tree(bench: Bench, *, is_named: bool) -> Verdict:
    """Is what would be released what its user sees? Of a named revision it is."""
    if is_named:
        return passed("clean tree", "a revision was named; the working tree plays no part")
    changed = bench.repository.changed()
    if changed:
        return refused("clean tree", f"not committed: {_some(changed)}; commit, or name a revision with --rev")
    return passed("clean tree", "everything is committed")


def judge_lock(bench: Bench, revision: Revision) -> Verdict:
    """Does ``dvc.lock`` pin a bundle, made of what the commit holds?"""
    if BUNDLE not in revision.outs:
        return refused("dvc.lock", f"it pins no {BUNDLE}; run dvc repro and commit dvc.lock")
    changed = stale(bench.objects.dvc, bench.repository, revision)
    if changed:
        return refused(
            "dvc.lock", f"it does not describe what is committed: {_some(changed)}; "
            "run dvc repro, and commit dvc.lock with it",
        )  # fmt: skip
    return passed("dvc.lock", f"it describes this commit; {BUNDLE} is {revision.outs[BUNDLE]}")


def judge_tracking(bench: Bench, revision: Revision) -> Verdict:
    """Does MLflow know the training?"""
    if bench.registry is None:
        return warned("MLflow", "not used: neither version nor alias will be registered")
    run = bench.registry.find_run(revision.outs.get(BUNDLE, ""), revision.outs.get(WEIGHTS, ""))
    if run is None:
        return warned("MLflow", f"{bench.registry.address} has no run of this bundle; the release will name none")
    return passed("MLflow", f"run {run.run_id} ({run.name}) trained it")


def judge_objects(bench: Bench, revision: Revision, *, only_bundle: bool = False) -> tuple[Verdict, Inventory]:
    """Is all that the commit pins in the remote, or can it be brought there?

    Args:
        only_bundle: look at nothing but the bundle: a rollback must not wait for training data, nor fail without them.
    """
    if bench.objects.absence:
        return refused("objects", bench.objects.absence), Inventory()
    bundle = revision.outs[BUNDLE]
    inventory = take_inventory(bench.objects, {BUNDLE: bundle} if only_bundle else revision.outs)
    if not any(map(_of_bundle, inventory.lost)):
        broken = damaged(bench.objects, bundle, inventory.to_upload)
        inventory.lost += [inventory.wanted[md5] for md5 in broken if bench.objects.cached(md5) is None]
        inventory.to_upload += [md5 for md5 in broken if bench.objects.cached(md5) is not None]
    total, address = len(inventory.wanted), bench.objects.address
    lost = f"neither {address} nor the cache here has, intact: {_some(inventory.lost)}"
    if inventory.lost:
        return refused("objects", f"{lost}; run dvc push where they were made, or dvc repro"), inventory
    if inventory.to_upload:
        said = f"{address} lacks {len(inventory.to_upload)} of {total}, or has them damaged; the cache here has them"
        return passed("objects", f"{said}: to be uploaded"), inventory
    return passed("objects", f"all {total} are in {address}"), inventory


def judge_bundle(bench: Bench, revision: Revision, *, in_remote: bool) -> Verdict:
    """Does the bundle prove itself?"""
    md5 = revision.outs[BUNDLE]
    try:
        manifest = prove_remote(bench.objects, md5) if in_remote else prove_cached(bench.objects, md5)
    except (BundleError, ObjectError) as error:
        return refused("bundle", f"it does not prove itself: {error}")
    where = "as fetched from the remote, " if in_remote else ""
    return passed("bundle", f"{where}its {len(manifest.files) + 1} files are intact and its golden images pass")


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _of_bundle(path: str) -> bool:
    return path == BUNDLE or path.startswith(f"{BUNDLE}/")
