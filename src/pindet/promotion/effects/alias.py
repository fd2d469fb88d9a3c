"""MLflow's alias of a stage."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.effects.model_version import RegisterVersion
from pindet.promotion.truth import Placement


class PointAlias:
    """Lets MLflow's alias of a stage name the version that the stage holds."""

    def __init__(self, bench: Bench, stage: str) -> None:
        self._bench, self._stage = bench, stage
        self._alias = bench.alias(stage)
        self.name = f"MLflow alias {self._alias}"

    def done(self) -> bool:
        """Whether it does."""
        registry, wanted = self._bench.registry, self._wanted()
        if registry is None:
            return True
        if wanted is None and self._bench.truth.placed(self._stage):
            return False  # its version is still to be registered
        return registry.aliases(self._bench.settings.artifact).get(self._alias) == wanted

    def do(self) -> None:
        """Point it; and again if the tags changed meanwhile, so that whoever points last has read the last tag."""
        placed = self._bench.refresh().placed(self._stage)
        while True:
            self._point(placed)
            now = self._bench.refresh().placed(self._stage)
            if now == placed:
                return
            placed = now

    def _point(self, placed: Placement | None) -> None:
        registry, model = self._bench.registry, self._bench.settings.artifact
        assert registry is not None
        if placed is None:
            registry.drop(model, self._alias)
            return
        version = RegisterVersion(self._bench, placed)
        if not version.done():  # another promotion may have tagged it, and not come to this yet
            version.do()
        number = version.number()
        assert number is not None
        registry.point(model, self._alias, number)

    def _wanted(self) -> str | None:
        registry, placed = self._bench.registry, self._bench.truth.placed(self._stage)
        if registry is None or placed is None:
            return None
        return RegisterVersion(self._bench, placed).number()
