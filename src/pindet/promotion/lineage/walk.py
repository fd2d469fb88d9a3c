"""From a served answer to release, bundle, run, commit, stages, parameters, data and raw source."""

from __future__ import annotations

from collections.abc import Iterator

from pindet_serve.serving.release import Release

from pindet.promotion.bench import Bench
from pindet.promotion.lineage.bundle import judge_kept_bundle
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.lineage.outs import judge_out
from pindet.promotion.lineage.parameters import judge_params
from pindet.promotion.lineage.sources import raw_source
from pindet.promotion.lineage.stages import judge_stage_key, locked_stage_key
from pindet.promotion.lineage.subject import Subject
from pindet.promotion.objects import ObjectError
from pindet.promotion.pinned import stale
from pindet.promotion.release_file import read_release, says
from pindet.promotion.revision import BUNDLE, PREPARED, WEIGHTS, Revision
from pindet.promotion.truth import Placement

_SHORT = 10


def walk(bench: Bench, subject: Subject, *, thorough: bool = False) -> Iterator[Link]:
    """Yield each step, nearest to the answer first; a step that breaks does not end the walk.

    Args:
        thorough: read and hash what the DVC remote has of weights, prepared and raw data, however much it is.

    Raises:
        PromotionError: the revision pins no bundle at all.
    """
    revision = subject.revision
    bundle, is_released = revision.out(BUNDLE), bench.truth.version_of(revision.commit) is not None
    if subject.bundle_md5:
        same = subject.bundle_md5 == bundle
        yield Link(
            "answer", f"bundle {subject.bundle_md5}", State.holds if same else State.broken,
            f"{revision.shown} pins {'it' if same else bundle}",
        )  # fmt: skip
    yield from _releases(bench, subject)
    yield _commit(bench, subject)
    yield judge_kept_bundle(bench, revision)
    weights, prepared = revision.outs.get(WEIGHTS, ""), revision.outs.get(PREPARED, "")
    yield judge_out(bench, "weights", weights, is_released=is_released, thorough=thorough)
    yield _run(bench, subject)
    yield judge_stage_key(bench.repository, revision, "train")
    yield judge_params(bench, revision)
    yield judge_out(bench, "prepared data", prepared, is_released=is_released, thorough=thorough)
    yield raw_source(bench, revision, thorough=thorough)


def _releases(bench: Bench, subject: Subject) -> Iterator[Link]:
    revision = subject.revision
    version = subject.version or bench.truth.version_of(revision.commit) or ""
    if version and revision.is_workspace and bench.at(revision.commit).outs.get(BUNDLE) != revision.out(BUNDLE):
        yield Link("version", "none", State.unknown, f"the workspace pins another bundle than its commit, {version}")
        return
    if version not in bench.truth.versions:
        state = State.broken if version and version != "workspace" else State.unknown
        yield Link("version", version or "none", state, "no tag names it: it was not released")
        return
    tag = bench.truth.versions[version]
    same = tag.commit == revision.commit
    yield Link("version", version, State.holds if same else State.broken, f"tag {tag.name} on {tag.commit[:_SHORT]}")
    for stage in bench.truth.stages:
        placed = bench.truth.placed(stage)
        if placed is None or placed.version != version:
            continue
        yield _release(bench, placed)


def _release(bench: Bench, placed: Placement) -> Link:
    found = f"{placed.stage}, by {placed.tag.who}"
    try:
        release = read_release(bench.objects, bench.settings.artifact, placed.stage)
    except ObjectError as error:
        return Link("release", found, State.unknown, str(error))
    wrong = _differs(release, placed, bench.at(placed.commit, placed.version))
    return Link(
        "release", found, State.broken if wrong else State.holds, f"its release file says {wrong or placed.version}"
    )


def _differs(release: Release | None, placed: Placement, revision: Revision) -> str:
    """What a release file says that the tag does not; empty if they agree."""
    if says(release, placed, revision):
        return ""
    if release is None:
        return "nothing that a server would load"
    if release.version != placed.version:
        return release.version
    if release.bundle_md5 != revision.outs.get(BUNDLE):
        return f"{release.version} with bundle {release.bundle_md5}; its commit pins {revision.outs.get(BUNDLE)}"
    told = f"tag {release.lineage.get('git_tag')} on {release.lineage.get('git_commit')}"
    return f"{release.version} from {told}, or lists objects elsewhere; pindet reconcile writes it again"


def _commit(bench: Bench, subject: Subject) -> Link:
    revision = subject.revision
    if revision.is_workspace and bench.repository.changed():
        return Link("commit", revision.commit[:_SHORT], State.unknown, "the workspace has changes beside it")
    changed = stale(bench.objects.dvc, bench.repository, revision)
    if changed:
        return Link("commit", revision.commit[:_SHORT], State.broken, f"dvc.lock does not describe it: {changed[0]}")
    return Link("commit", revision.commit, State.holds, "dvc.lock describes its stages, code, parameters and data")


def _run(bench: Bench, subject: Subject) -> Link:
    revision = subject.revision
    bundle, weights = revision.outs.get(BUNDLE, ""), revision.outs.get(WEIGHTS, "")
    run = bench.ask_mlflow(lambda registry: registry.find_run(bundle, weights))
    if bench.registry is None:
        why = "MLflow can not be asked" if "MLflow" in bench.away else "MLflow is not used"
        return Link("MLflow run", "unknown", State.unknown, why)
    if run is None:
        return Link("MLflow run", "none", State.unknown, f"{bench.registry.address} knows neither bundle nor weights")
    expected = {
        "dvc.stage_key": locked_stage_key(revision, "train"),
        "pindet.weights_md5": weights,
        "pindet.bundle_md5": bundle,
    }
    other = [key for key, value in expected.items() if key in run.tags and run.tags[key] != value]
    named = f"{run.run_id} ({run.name})"
    if other == ["dvc.stage_key"]:
        return Link("MLflow run", named, State.unknown, "it made the same weights from other code or parameters")
    if other:
        return Link("MLflow run", named, State.broken, f"its {', '.join(other)} is another")
    return Link("MLflow run", named, State.holds, f"same {', '.join(key for key in expected if key in run.tags)}")
