"""The release file, which servers watch."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from pindet_serve.serving.release import Release

from pindet.promotion.bench import Bench
from pindet.promotion.effects.known_run import knows_run
from pindet.promotion.release_file import (
    bundle_files,
    make_release,
    read_release,
    release_key,
    release_text,
    says,
)
from pindet.promotion.revision import BUNDLE, WEIGHTS, Revision
from pindet.promotion.truth import Placement

logger = logging.getLogger(__name__)


class WriteRelease:
    """Lets the release file of a stage say what the tags say."""

    def __init__(self, bench: Bench, stage: str) -> None:
        self._bench, self._stage = bench, stage
        self.name = f"release file of {stage}"
        self.has_written = False

    def done(self) -> bool:
        """Whether it does, and names the MLflow run if there is one."""
        placed = self._bench.truth.placed(self._stage)
        if placed is None:
            return self.is_followed()
        release, revision = self._read(), self._bench.at(placed.commit)
        if release is None or not says(release, placed, revision):
            return False
        return bool(release.lineage.get("mlflow")) or not knows_run(self._bench, revision)

    def is_followed(self) -> bool:
        """Whether servers get from it what the tags say."""
        placed = self._bench.truth.placed(self._stage)
        if placed is None:
            return self._bench.objects.texts.read(self._key) is None
        return says(self._read(), placed, self._bench.at(placed.commit))

    def do(self) -> None:
        """Write it; and again if the tags changed meanwhile, so that whoever writes last has read the last tag."""
        self._bench.refresh()
        while True:
            placed = self._bench.truth.placed(self._stage)
            self._write(placed)
            self.has_written = True
            if self._bench.refresh().placed(self._stage) == placed:
                return

    def text(self, placed: Placement, coming: Collection[str] = ()) -> str:
        """What it says of a version in the stage.

        Args:
            coming: md5s that are to be uploaded.
        """
        bench = self._bench
        revision = bench.at(placed.commit)
        bundle = revision.out(BUNDLE)
        files = bundle_files(bench.objects, bundle, coming)
        return release_text(make_release(placed, bench.settings.artifact, revision, files, self._run(revision)))

    def _write(self, placed: Placement | None) -> None:
        if placed is None:
            self._bench.objects.texts.remove(self._key)
        else:
            self._bench.objects.texts.write(self._key, self.text(placed))

    def _read(self) -> Release | None:
        return read_release(self._bench.objects, self._bench.settings.artifact, self._stage)

    def _run(self, revision: Revision) -> dict[str, Any]:
        """What MLflow says of the training; nothing if it does not answer, for servers do not need it."""
        registry = self._bench.registry
        if registry is None:
            return {}
        from pindet.tracking.registry import run_summary
        from pindet.tracking.store import TrackingError

        try:
            run = registry.find_run(revision.out(BUNDLE), revision.outs.get(WEIGHTS, ""))
        except TrackingError as error:
            logger.warning("the %s names no MLflow run: %s", self.name, error)
            return {}
        return run_summary(run, registry.address)

    @property
    def _key(self) -> str:
        return release_key(self._bench.settings.artifact, self._stage)
