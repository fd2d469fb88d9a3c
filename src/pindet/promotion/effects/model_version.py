"""MLflow's version of a release."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.objects import key_of
from pindet.promotion.revision import BUNDLE, WEIGHTS
from pindet.promotion.truth import Placement


class RegisterVersion:
    """Registers a version in MLflow; its source is the object that DVC keeps."""

    def __init__(self, bench: Bench, placement: Placement) -> None:
        self._bench, self._placement = bench, placement
        self.name = f"MLflow model version of {placement.version}"

    def done(self) -> bool:
        """Whether MLflow has it."""
        return self._bench.registry is None or self.number() is not None

    def number(self) -> str | None:
        """MLflow's number of the version; ``None`` if it has none."""
        registry, placement = self._bench.registry, self._placement
        assert registry is not None
        bundle = self._bench.at(placement.commit).out(BUNDLE)
        return registry.version_of(self._bench.settings.artifact, placement.version, bundle)

    def do(self) -> None:
        """Register it, unless it is there."""
        from pindet.tracking.registry import registry_source

        registry, placement = self._bench.registry, self._placement
        assert registry is not None
        revision = self._bench.at(placement.commit)
        bundle = revision.out(BUNDLE)
        run = registry.find_run(bundle, revision.outs.get(WEIGHTS, ""))
        registry.register(
            self._bench.settings.artifact, placement.version, bundle, registry_source(key_of(bundle)),
            None if run is None else run.run_id, {"git.commit": placement.commit},
        )  # fmt: skip
