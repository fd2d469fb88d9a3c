"""Everything that a project's status says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.reconcile import ignored_tags, reconcile
from pindet.promotion.revision import BUNDLE, workspace_revision
from pindet.promotion.status.pipeline import stale_stages
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
        absent: stages whose outs are not checked out.
        bundle_md5: of the workspace's bundle; empty if there is none.
        version: that the workspace's commit is released as.
        run: the run of the workspace's bundle, as MLflow calls it.
        stages: what is released.
        out_of_line: steps that ``pindet reconcile`` would take.
        servers: what they serve.
        notes: what could not be found out, and tags that do not count.
    """

    commit: str
    uncommitted: list[str]
    overrides: str
    stale: list[str]
    absent: list[str]
    bundle_md5: str
    version: str
    run: str
    stages: list[Holding] = field(default_factory=list)
    out_of_line: list[str] = field(default_factory=list)
    servers: list[ServerState] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def drifts(self) -> bool:
        """Whether anything is not as the tags say."""
        return bool(self.out_of_line) or any(server.drift for server in self.servers)

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
    bundle = _bundle(bench, notes)
    stale, absent = stale_stages(bench)
    run = bench.registry.find_run(bundle) if bench.registry and bundle else None
    return ProjectState(
        commit=revision.commit,
        uncommitted=bench.repository.changed(),
        overrides=overrides_in_force(bench.root / PARAMS, bench.root / CONF)
        if has_params
        else "there is no params.yaml",
        stale=stale,
        absent=absent,
        bundle_md5=bundle,
        version=bench.truth.version_of(revision.commit) or "",
        run="" if run is None else f"{run.run_id} ({run.name})",
        stages=[holding for stage in bench.truth.stages if (holding := _holding(bench, stage))],
        out_of_line=_out_of_line(bench, notes),
        servers=ask_servers(bench, servers),
        notes=notes,
    )


def _bundle(bench: Bench, notes: list[str]) -> str:
    try:
        return workspace_revision(bench.repository).outs.get(BUNDLE, "")
    except PromotionError as error:
        notes.append(str(error))
        return ""


def _holding(bench: Bench, stage: str) -> Holding | None:
    placed, earlier = bench.truth.placed(stage), bench.truth.earlier(stage)
    if placed is None:
        return None
    since = datetime.fromtimestamp(placed.tag.when, UTC).isoformat().replace("+00:00", "Z")
    bundle = bench.at(placed.commit).outs.get(BUNDLE, "")
    return Holding(stage, placed.version, since, placed.tag.who, bundle, earlier.version if earlier else "")


def _out_of_line(bench: Bench, notes: list[str]) -> list[str]:
    try:
        found = reconcile(bench, lambda *_: None, check=True)
    except (ValueError, OSError) as error:
        notes.append(f"whether releases are in line is unknown: {error}")
        return []
    notes += [f"{stage} has a release file, and no tag" for stage in found.untagged]
    return found.changed
