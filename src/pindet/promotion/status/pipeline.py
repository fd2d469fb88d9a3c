"""Which stages of the workspace's pipeline are not as ``dvc.lock`` has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError


@dataclass(frozen=True)
class PipelineState:
    """Stages by name.

    Attributes:
        stale: those that ``dvc repro`` would run.
        absent: those whose outs, or the outs that they need, are only not here.
        uncached: those of the absent whose outs the cache has not either, so that a checkout does not bring them.
    """

    stale: list[str]
    absent: list[str]
    uncached: list[str]


def pipeline_state(bench: Bench) -> PipelineState:
    """Ask DVC which stages are not as ``dvc.lock`` has them.

    Raises:
        PromotionError: DVC can not say.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    try:
        found: dict[str, list[Any]] = bench.objects.dvc.status()
    except LockError as error:
        raise PromotionError("another dvc command is at work in this project; ask again when it is done") from error
    except DvcException as error:
        raise PromotionError(f"DVC can not say it: {error}") from error
    here = Path.cwd() if Path.cwd().is_relative_to(bench.root) else bench.root  # what DVC's paths start from
    states = {stage.rpartition(":")[2]: set(_states(changes, here)) for stage, changes in found.items()}
    absent = {stage for stage, seen in states.items() if seen <= {"deleted", "not in cache"}}
    uncached = {stage for stage in absent if "not in cache" in states[stage]}
    return PipelineState(sorted(states.keys() - absent), sorted(absent), sorted(uncached))


def _states(changes: list[Any], here: Path) -> Iterator[str]:
    """What became of each path that a stage reads or writes, in DVC's words."""
    for change in changes:
        if not isinstance(change, dict):
            yield "changed"  # its command
            continue
        for paths in change.values():
            for path, state in paths.items() if isinstance(paths, dict) else [("", paths)]:
                if isinstance(state, dict):  # that of a parameters file
                    yield from state.values()
                else:  # DVC looks no further into an out that is not in the cache
                    yield "changed" if state == "not in cache" and (here / path).exists() else state
