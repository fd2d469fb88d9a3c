"""MLflow's alias of a stage."""

from __future__ import annotations

from pindet.promotion.bench import Bench


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
        """Point it to what the tags say; remove it when the stage is empty."""
        registry, model = self._bench.registry, self._bench.settings.artifact
        assert registry is not None
        number = self._wanted()
        if number is None:
            registry.drop(model, self._alias)
        else:
            registry.point(model, self._alias, number)

    def _wanted(self) -> str | None:
        registry, placed = self._bench.registry, self._bench.truth.placed(self._stage)
        if registry is None or placed is None:
            return None
        return registry.version_of(self._bench.settings.artifact, placed.version)
