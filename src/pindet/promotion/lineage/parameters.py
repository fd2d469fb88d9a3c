"""The parameters of a revision: where they are others than its ``conf/`` composes, and whether stages ran with them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pindet.compose import differences
from pindet.params import ParamsError, leaves
from pindet.project import PARAMS
from pindet.promotion.bench import Bench
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.pinned import params_not_run, tree_of
from pindet.promotion.revision import Revision
from pindet.stage import CONF

_SHOWN = 8


def judge_params(bench: Bench, revision: Revision) -> Link:
    """Say how the parameters differ from the defaults, where all of them are, and whether the stages ran with them."""
    count = len(list(leaves(revision.params)))
    place = str(PARAMS) if revision.is_workspace else f"git show {revision.commit[:10]}:{PARAMS}"
    found = f"{_against_defaults(bench, revision)}; all {count}: {place}"
    other = params_not_run(revision)
    if other:
        state = State.unknown if revision.is_workspace else State.broken
        return Link("parameters", found, state, f"the stages of dvc.lock ran with another {', '.join(other)}")
    return Link("parameters", found, State.holds, "the stages of dvc.lock ran with them")


def _against_defaults(bench: Bench, revision: Revision) -> str:
    if revision.is_workspace:
        return _differing(revision, bench.root / CONF)
    with tempfile.TemporaryDirectory() as folder:
        for path in tree_of(bench.repository, revision.commit):
            if path.startswith(f"{CONF}/"):
                (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).write_bytes(revision.read(path) or b"")
        return _differing(revision, Path(folder) / CONF)


def _differing(revision: Revision, conf: Path) -> str:
    if not conf.is_dir():
        return f"no {CONF}/ to compare with"
    try:
        changed = differences(revision.params, conf)
    except ParamsError as error:
        return f"{CONF}/ does not compose ({error})"
    said = [*changed.overrides, *(f"{key} in one alone" for key in changed.structure)]
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return f"{', '.join(said[:_SHOWN])}{more}" if said else f"as {CONF}/ composes them"
