"""The bundle of a revision, as servers would load it from the DVC remote, and as the cache here has it."""

from __future__ import annotations

from pindet_serve.manifest import BundleError, Manifest

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.objects import ObjectError
from pindet.promotion.proof import prove_cached, prove_remote
from pindet.promotion.revision import BUNDLE, PREPARED, Revision

_ABOUT = "bundle"


def judge_kept_bundle(bench: Bench, revision: Revision) -> Link:
    """Whether the bundle is intact and proves itself; of a released one, in the remote that servers read.

    Raises:
        PromotionError: the revision pins none.
    """
    md5 = revision.out(BUNDLE)
    try:
        return _proven(revision, md5, prove_remote(bench.objects, md5), "")
    except (BundleError, PromotionError) as error:
        in_remote = str(error)
    try:
        here = _proven(revision, md5, prove_cached(bench.objects, md5), " in the cache here")
    except (BundleError, PromotionError):
        return Link(_ABOUT, md5, State.broken, in_remote)
    if here.state is State.broken:
        return here
    try:
        files = [md5, *(entry.md5 for entry in bench.objects.listing(md5))]
        lacks = None in bench.objects.sizes(files).values()
    except ObjectError as error:
        return Link(_ABOUT, md5, State.unknown, f"{here.check}; {error}")
    if lacks and not _is_released(bench, revision):
        return Link(_ABOUT, md5, State.holds, f"{here.check}; not yet in the DVC remote {bench.objects.address}")
    return Link(_ABOUT, md5, State.broken, f"{here.check}, but no server can load it: {in_remote}")


def _is_released(bench: Bench, revision: Revision) -> bool:
    """Whether the revision's commit has a version, and its bundle is that of the commit."""
    if bench.truth.version_of(revision.commit) is None:
        return False
    return bench.at(revision.commit).outs.get(BUNDLE) == revision.out(BUNDLE)


def _proven(revision: Revision, md5: str, manifest: Manifest, where: str) -> Link:
    if manifest.data_md5 != revision.outs.get(PREPARED, ""):
        return Link(_ABOUT, md5, State.broken, f"it names other data, {manifest.data_md5}")
    return Link(_ABOUT, md5, State.holds, f"{len(manifest.files) + 1} files intact{where}, golden images pass")
