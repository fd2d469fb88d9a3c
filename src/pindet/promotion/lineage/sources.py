"""Where the raw data of a revision are kept, if anywhere."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.pinned import added, tree_of
from pindet.promotion.revision import Revision

_ABOUT = "raw source"


def raw_source(bench: Bench, revision: Revision) -> Link:
    """The last step: the folder that ``data.root`` names, and whether git or DVC has it as it was."""
    data = revision.params.get("data")
    root = str(data.get("root", "")) if isinstance(data, dict) else ""
    if not root:
        return Link(_ABOUT, "none", State.unknown, "params.yaml names no data.root")
    deps = {str(dep["path"]): str(dep.get("md5")) for stage in revision.lock.values() for dep in stage.get("deps", [])}
    tree = tree_of(bench.repository, revision.commit)
    kept = added(revision, tree).get(root)
    found = f"{root}, {deps.get(root, 'not tracked')}"
    if any(path == root or path.startswith(f"{root}/") for path in tree):
        return Link(_ABOUT, found, State.holds, "git has it")
    if kept is None:
        return Link(_ABOUT, found, State.unknown, "neither git nor DVC keeps it; dvc add would pin it")
    state = State.holds if kept == deps.get(root, kept) else State.broken
    return Link(_ABOUT, found, state, f"DVC keeps {kept}")
