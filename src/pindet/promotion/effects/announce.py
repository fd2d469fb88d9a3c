"""The event on the status bus."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.effects.release import WriteRelease
from pindet.promotion.revision import BUNDLE


class Announce:
    """Tells running servers on the status bus of ``REDIS_URL``; they look for themselves, too."""

    def __init__(self, bench: Bench, stage: str, written: WriteRelease, happened: str) -> None:
        self._bench, self._stage, self._written, self._happened = bench, stage, written, happened
        self.name = "event on the status bus"

    def done(self) -> bool:
        """Whether nothing was written that servers would want to know."""
        return not self._written.has_written

    def do(self) -> None:
        """Publish the event; a bus that is away is no reason to fail."""
        from pindet.promotion.announcement import announce

        placed = self._bench.truth.placed(self._stage)
        told = {"name": self._bench.settings.artifact, "stage": self._stage}
        if placed is not None:
            told |= {"version": placed.version, "md5": self._bench.at(placed.commit).out(BUNDLE)}
        announce(f"release.{self._happened if placed else 'withdrawn'}", told)
