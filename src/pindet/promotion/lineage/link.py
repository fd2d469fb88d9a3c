"""A step of the walk and whether it holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Whether a step holds."""

    holds = "holds"
    unknown = "unknown"
    """It can not be checked here."""
    broken = "broken"


@dataclass(frozen=True)
class Link:
    """A step: what it is about, what was found, whether it holds, and how that was checked."""

    about: str
    found: str
    state: State
    check: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
