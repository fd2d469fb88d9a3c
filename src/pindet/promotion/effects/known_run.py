"""Whether MLflow knows the training of a release, which may come to it after the release."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.revision import BUNDLE, WEIGHTS, Revision


def knows_run(bench: Bench, revision: Revision) -> bool:
    """Whether MLflow has a run of a revision's bundle or weights; not if it is not used or does not answer."""
    if bench.registry is None:
        return False
    from pindet.tracking.store import TrackingError

    try:
        return bench.registry.find_run(revision.out(BUNDLE), revision.outs.get(WEIGHTS, "")) is not None
    except TrackingError:
        return False
