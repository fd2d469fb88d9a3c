"""Where the raw data of a revision are kept, if anywhere."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.pinned import added, tree_of
from pindet.promotion.revision import Revision

_ABOUT = "raw source"


def raw_source(bench: Bench, revision: Revision, *, thorough: bool = False) -> Link:
    """The last step: the folder that ``data.root`` names, and whether git or DVC has it as it was.

    Args:
        thorough: read and hash what only the DVC remote has of it, instead of looking whether it lists it.
    """
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
    if kept != deps.get(root, kept):
        return Link(_ABOUT, found, State.broken, f"DVC keeps {kept}")
    return _kept(bench, found, str(kept), thorough)


def _kept(bench: Bench, found: str, md5: str, thorough: bool) -> Link:
    """Whether each object is in the cache here, where it is read and hashed, or else in the remote."""
    objects = bench.objects
    broken, unknown = State.broken, State.unknown
    try:
        there = objects.cached(md5) is not None or objects.sizes([md5])[md5] is not None
    except PromotionError as error:
        return Link(_ABOUT, found, unknown, f"DVC should keep {md5}: {error}")
    if not there:
        return Link(_ABOUT, found, broken, f"DVC should keep {md5}; it is missing here and in {objects.address}")
    try:
        names = {entry.md5: entry.path for entry in objects.listing(md5)} if md5.endswith(".dir") else {md5: md5}
        elsewhere = [name for name in names if objects.cached(name) is None]
    except PromotionError as error:
        return Link(_ABOUT, found, broken, f"DVC should keep {md5}: {error}")
    try:
        sizes = objects.sizes(elsewhere) if elsewhere else {}
    except PromotionError as error:
        return Link(_ABOUT, found, unknown, f"DVC should keep {md5}: {error}")
    missing = sorted(names[name] for name, size in sizes.items() if size is None)
    if missing:
        return Link(
            _ABOUT, found, broken,
            f"DVC should keep {md5}; {len(missing)} of {len(names)} objects are missing here and in {objects.address}, "
            f"the first is {missing[0]}",
        )  # fmt: skip
    if not elsewhere:
        return Link(_ABOUT, found, State.holds, f"DVC keeps {md5}, intact")
    where = f"{len(elsewhere)} of {len(names)} objects only in {objects.address}"
    if not thorough:
        return Link(_ABOUT, found, State.unknown, f"DVC keeps {md5}, {where}, not read: --thorough reads them")
    try:
        for each in elsewhere:
            objects.check(each)
    except PromotionError as error:
        return Link(_ABOUT, found, broken, f"DVC keeps {md5}, {where}: {error}")
    return Link(_ABOUT, found, State.holds, f"DVC keeps {md5}, intact, {where}")
