"""How far a promotion came that was stopped: what scripts are told beside the error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.carrying_out import Say, following
from pindet.promotion.errors import IncompleteError, LostError


@dataclass(frozen=True)
class Halfway:
    """How far it came.

    Attributes:
        stage: that was to be filled.
        version: that the stage holds now; empty if it holds none.
        commit: of that version.
        done: names of the steps that are done, in their order.
        left: names of the steps that ``pindet reconcile`` takes.
    """

    stage: str
    version: str
    commit: str
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@contextmanager
def telling_how_far(bench: Bench, stage: str, say: Say) -> Iterator[Say]:
    """Give what is to be told of each step, and let an error that stops them say how far they came."""
    done: list[str] = []

    def heard(name: str, what: str) -> None:
        if what in ("done", "already"):
            done.append(name)
        say(name, what)

    try:
        yield heard
    except (IncompleteError, LostError) as error:
        if error.outcome is None:
            error.outcome = _how_far(bench, stage, done, is_tagged=isinstance(error, IncompleteError))
        raise


def _how_far(bench: Bench, stage: str, done: list[str], *, is_tagged: bool) -> Halfway | None:
    try:
        placed = (bench.truth if is_tagged else bench.refresh()).placed(stage)
        left = [effect.name for effect in following(bench, stage, "promoted") if effect.name not in done]
    except Exception:  # what stopped it may be in the way of this as well
        return None
    version, commit = (placed.version, placed.commit) if placed else ("", "")
    return Halfway(stage, version, commit, done, left if is_tagged else [])
