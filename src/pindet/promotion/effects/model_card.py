"""The model card beside a release."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.card import bundle_line, write_card
from pindet.promotion.release_file import card_key
from pindet.promotion.truth import Placement


class WriteCard:
    """Writes the model card of a version beside its release."""

    def __init__(self, bench: Bench, placement: Placement) -> None:
        self._bench, self._placement = bench, placement
        self.name = f"model card of {placement.version}"

    def done(self) -> bool:
        """Whether there is one, and it is of this version's bundle."""
        card = self._bench.objects.texts.read(self._key)
        return card is not None and bundle_line(self._bench.at(self._placement.commit)) in card.splitlines()

    def do(self) -> None:
        """Write it."""
        self._bench.objects.texts.write(self._key, write_card(self._bench, self._placement))

    @property
    def _key(self) -> str:
        return card_key(self._bench.settings.artifact, self._placement.version)
