"""What a gate says of a candidate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Judgement(StrEnum):
    """Whether a gate is open."""

    passed = "passed"
    warned = "warned"
    """Open, with something to know."""
    refused = "refused"


@dataclass(frozen=True)
class Verdict:
    """A gate, its judgement and the reason."""

    gate: str
    judgement: Judgement
    reason: str

    @property
    def is_open(self) -> bool:
        """Whether a promotion may go on."""
        return self.judgement is not Judgement.refused

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def passed(gate: str, reason: str) -> Verdict:
    """An open gate."""
    return Verdict(gate, Judgement.passed, reason)


def warned(gate: str, reason: str) -> Verdict:
    """An open gate with something to know."""
    return Verdict(gate, Judgement.warned, reason)


def refused(gate: str, reason: str) -> Verdict:
    """A closed gate."""
    return Verdict(gate, Judgement.refused, reason)
