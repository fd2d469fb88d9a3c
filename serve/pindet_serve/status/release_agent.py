"""What the release agent says of itself on the bus: ``release.agent``, every half minute and when something changes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pindet_serve.status.event import Event, Position, parse_position

TYPE = "release.agent"
BEAT_SECONDS = 30.0
SILENT_SECONDS = 90.0
"""An agent that was not heard of for so long does not listen."""
MOST_VERSIONS = 50


@dataclass(frozen=True)
class Choice:
    """A version that may be chosen; ``when`` is seconds since 1970, ``metrics`` are those of the test split."""

    version: str
    commit: str = ""
    when: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentSaid:
    """What an agent said last.

    Attributes:
        heard_s: seconds since then.
        carries_out: whether it carries wishes out.
        stages: what each stage held before what it holds now: first, latest first, what was not rolled back.
        versions: that are tagged, newest first.
    """

    heard_s: float
    carries_out: bool = False
    stages: dict[str, list[str]] = field(default_factory=dict)
    versions: list[Choice] = field(default_factory=list)

    @property
    def listens(self) -> bool:
        """Whether it was heard of lately."""
        return self.heard_s <= SILENT_SECONDS


def latest(events: Sequence[Event]) -> AgentSaid | None:
    """What the agent that was heard of last said; ``None`` if none ever was."""
    if not events:
        return None
    # Redis' clock, by which it is placed, is the same for all agents.
    last = max(events, key=_position)
    try:
        return _read(last.data, max(0.0, time.time() - _position(last)[0] / 1000))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # who else writes to the bus must not break an answer


def _position(event: Event) -> Position:
    return parse_position(event.id) or (0, 0, 0)


def _read(data: Mapping[str, Any], heard_s: float) -> AgentSaid:
    stages = {str(stage): [str(one) for one in held["before"]] for stage, held in data["stages"].items()}
    versions = [
        Choice(
            str(one["version"]), str(one["commit"]), float(one["when"]),
            {str(key): float(value) for key, value in one["metrics"].items()},
        )
        for one in data["versions"][:MOST_VERSIONS]
    ]  # fmt: skip
    return AgentSaid(heard_s, data["carries_out"] is True, stages, versions)
