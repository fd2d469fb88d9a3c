"""A step of a release, which can be repeated and knows whether it is done."""

from __future__ import annotations

from typing import Protocol


class Effect(Protocol):
    """A step."""

    @property
    def name(self) -> str:
        """What it changes, for its user."""

    def done(self) -> bool:
        """Whether there is nothing left to do."""

    def do(self) -> None:
        """Do it; a second time changes nothing."""
