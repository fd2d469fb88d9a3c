"""The model card beside a release."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.card import RUN_LINE, bundle_line, write_card
from pindet.promotion.effects.known_run import knows_run
from pindet.promotion.release_file import card_key
from pindet.promotion.truth import Placement


class WriteCard:
    """Writes the model card of a version beside its release."""

    def __init__(self, bench: Bench, placement: Placement) -> None:
        self._bench, self._placement = bench, placement
        self.name = f"model card of {placement.version}"

    def done(self) -> bool:
        """Whether there is one, it is of this version's bundle, and it names the MLflow run if there is one."""
        revision = self._bench.at(self._placement.commit)
        lines = (self._bench.objects.texts.read(self._key) or "").splitlines()
        names_run = any(line.startswith(RUN_LINE) for line in lines)
        return bundle_line(revision) in lines and (names_run or not knows_run(self._bench, revision))

    def do(self) -> None:
        """Write it."""
        self._bench.objects.texts.write(self._key, write_card(self._bench, self._placement))

    @property
    def _key(self) -> str:
        return card_key(self._bench.settings.artifact, self._placement.version)
