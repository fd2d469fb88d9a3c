"""How much better or worse one model is than another, class by class."""

from __future__ import annotations

from dataclasses import dataclass

from pindet.evaluation.bootstrap import ALL, Draws, Estimate
from pindet.promotion.comparison.bootstrap import Resampled


@dataclass(frozen=True)
class Difference:
    """A candidate minus a champion on the same draws.

    Attributes:
        map: mAP of IoU 0.50:0.95 for :data:`ALL`, average precision by class.
        f1: at each model's own operating point.
    """

    map: dict[str, Estimate]
    f1: Estimate

    def worst_class(self) -> tuple[str, Estimate] | None:
        """The class that loses most; ``None`` if none was there to measure."""
        measured = [(name, found) for name, found in self.map.items() if name != ALL and found.is_defined]
        return min(measured, key=lambda pair: pair[1].value) if measured else None


def difference(candidate: Resampled, champion: Resampled, draws: Draws) -> Difference:
    """Candidate minus champion; both measured with the same draws on the same images."""
    by_class = {name: draws.estimate(values - champion.map[name]) for name, values in candidate.map.items()}
    return Difference(by_class, draws.estimate(candidate.f1 - champion.f1))
