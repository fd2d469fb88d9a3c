"""Which stages of the workspace's pipeline are not as ``dvc.lock`` has them."""

from __future__ import annotations

from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError


def stale_stages(bench: Bench) -> tuple[list[str], list[str]]:
    """Stages that ``dvc repro`` would run, and those whose outs are only not checked out.

    Raises:
        PromotionError: DVC can not say.
    """
    from dvc.exceptions import DvcException

    try:
        found: dict[str, list[Any]] = bench.objects.dvc.status()
    except DvcException as error:
        raise PromotionError(f"DVC can not say which stages are stale: {error}") from error
    absent = {stage for stage, changes in found.items() if all(map(_only_deleted, changes))}
    names = {stage: stage.rpartition(":")[2] for stage in found}  # DVC names the file too, seen from elsewhere
    stale = sorted(names[stage] for stage in found.keys() - absent)
    return stale, sorted(names[stage] for stage in absent)


def _only_deleted(change: Any) -> bool:
    """Whether a change of a stage is that an out, or an out of an earlier stage, is not checked out."""
    if not isinstance(change, dict):
        return False
    states = [state for paths in change.values() for state in (paths.values() if isinstance(paths, dict) else [paths])]
    return all(state == "deleted" for state in states)  # that of a parameters file is a mapping of its own
