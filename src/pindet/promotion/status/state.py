"""Everything that a project's status says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pindet.promotion.bench import Bench, experiment_of
from pindet.promotion.errors import PromotionError, told
from pindet.promotion.reconcile import Reconciled, ignored_tags, reconcile
from pindet.promotion.revision import BUNDLE, Revision, workspace_revision
from pindet.promotion.status.pipeline import PipelineState, pipeline_state
from pindet.promotion.status.servers import ServerState, ask_servers


@dataclass(frozen=True)
class Holding:
    """A stage: the version that it holds, since when (ISO 8601, UTC), by whom, and the version before."""

    stage: str
    version: str
    since: str
    by: str
    bundle_md5: str
    before: str


@dataclass(frozen=True)
class ProjectState:
    """Where a project stands.

    Attributes:
        commit: the last one.
        uncommitted: paths that differ from it.
        overrides: how ``params.yaml`` differs from ``conf/``, a sentence.
        stale: stages of the pipeline that would run again.
        absent: stages whose outs are not here.
        uncached: those of them whose outs the cache has not either.
        asked_pipeline: whether these three are known.
        bundle_md5: of the workspace's bundle; empty if there is none.
        version: that the workspace's commit is released as.
        run: the run of the workspace's bundle, as MLflow calls it; empty if it knows none.
        asked_mlflow: whether MLflow was asked for it.
        newest_run: the newest training and its status, as MLflow calls them, where that is another run.
        stages: what is released.
        out_of_line: steps that ``pindet reconcile`` would take.
        untagged: stages that have a release file which no tag ever filled.
        servers: what they serve.
        unknown: what of runs, releases and servers could not be found out, and why.
        notes: what else there is to say, and tags that do not count.
    """

    commit: str
    uncommitted: list[str]
    overrides: str
    stale: list[str]
    absent: list[str]
    bundle_md5: str
    version: str
    run: str
    asked_mlflow: bool = True
    uncached: list[str] = field(default_factory=list)
    asked_pipeline: bool = True
    newest_run: str = ""
    stages: list[Holding] = field(default_factory=list)
    out_of_line: list[str] = field(default_factory=list)
    untagged: list[str] = field(default_factory=list)
    servers: list[ServerState] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def drifts(self) -> bool:
        """Whether anything is not as the tags say."""
        return bool(self.out_of_line or self.untagged) or any(server.drift for server in self.servers)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "drifts": self.drifts}


def find_state(bench: Bench, servers: Sequence[str]) -> ProjectState:
    """Find out where a project stands; nothing is changed."""
    from pindet.project import PARAMS
    from pindet.stage import CONF, overrides_in_force

    notes = [f"{name} does not count: {why}" for name, why in ignored_tags(bench).items()]
    revision = workspace_revision(bench.repository)
    has_params = (bench.root / PARAMS).is_file()
    bundle = _bundle(revision, notes)
    pipeline, why = _pipeline(bench)
    run = bench.ask_mlflow(lambda registry: registry.find_run(bundle)) if bundle else None
    newest = bench.ask_mlflow(lambda registry: registry.newest_run(experiment_of(bench.root)))
    asked = ask_servers(bench, servers)
    in_line, unknown = _in_line(bench)
    unknown = [*bench.away.values(), *why, *unknown]
    unknown += [f"what {each.url} serves: {each.problem}" for each in asked if not each.is_reachable]
    return ProjectState(
        commit=revision.commit,
        uncommitted=bench.repository.changed(),
        overrides=overrides_in_force(bench.root / PARAMS, bench.root / CONF)
        if has_params
        else "there is no params.yaml",
        asked_pipeline=not why,
        stale=pipeline.stale,
        absent=pipeline.absent,
        uncached=pipeline.uncached,
        bundle_md5=bundle,
        version=bench.truth.version_of(revision.commit) or "",
        asked_mlflow=bench.registry is not None,
        run="" if run is None else f"{run.run_id} ({run.name})",
        newest_run=""
        if newest is None or (run is not None and newest.run_id == run.run_id)
        else f"{newest.run_id} ({newest.name}), {newest.status}",
        stages=[holding for stage in bench.truth.stages if (holding := _holding(bench, stage, notes))],
        out_of_line=in_line.changed,
        untagged=in_line.untagged,
        servers=asked,
        unknown=unknown,
        notes=notes,
    )


def _pipeline(bench: Bench) -> tuple[PipelineState, list[str]]:
    """The state of the pipeline, and what keeps that from being known."""
    try:
        return pipeline_state(bench), []
    except PromotionError as error:
        return PipelineState([], [], []), [f"which stages are stale: {error}"]


def _bundle(revision: Revision, notes: list[str]) -> str:
    try:
        return revision.outs.get(BUNDLE, "")
    except PromotionError as error:
        notes.append(str(error))
        return ""


def _holding(bench: Bench, stage: str, notes: list[str]) -> Holding | None:
    placed, earlier = bench.truth.placed(stage), bench.truth.earlier(stage)
    if placed is None:
        return None
    since = datetime.fromtimestamp(placed.tag.when, UTC).isoformat().replace("+00:00", "Z")
    bundle = _bundle(bench.at(placed.commit, placed.version), notes)
    return Holding(stage, placed.version, since, placed.tag.who, bundle, earlier.version if earlier else "")


def _in_line(bench: Bench) -> tuple[Reconciled, list[str]]:
    """What a reconciliation would do, and what keeps that from being known."""
    try:
        return reconcile(bench, lambda *_: None, check=True), []
    except Exception as error:
        return Reconciled(), [f"whether releases are in line: {told(error)}"]
