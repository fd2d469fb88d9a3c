"""What the agent says can be chosen: the versions that tags name, and what each stage held before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pindet_serve.status.release_agent import MOST_VERSIONS

from pindet.promotion.repository import Repository
from pindet.promotion.revision import revision_of_commit
from pindet.promotion.settings import read_settings
from pindet.promotion.tags import read_truth

MOST_BEFORE = 20


class Choices:
    """Reads them from the clone; the metrics of a commit are read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._metrics: dict[str, dict[str, float]] = {}

    def read(self) -> dict[str, Any]:
        """Every stage with what it held before, and every version, newest first; metrics of those that are told.

        Raises:
            PromotionError: it is no project, or its settings can not be read.
        """
        repository, settings = Repository(self._root), read_settings(self._root)
        truth = read_truth(repository, settings.artifact, refresh=False)
        newest = list(truth.versions.items())[::-1]
        versions: list[dict[str, Any]] = [
            {"version": version, "commit": tag.commit, "when": tag.when} for version, tag in newest
        ]
        for one in versions[:MOST_VERSIONS]:
            one["metrics"] = self._of(repository, one["commit"])
        stages = sorted({*truth.stages, *settings.aliases})
        return {"stages": {stage: {"before": truth.before(stage)} for stage in stages}, "versions": versions}

    def _of(self, repository: Repository, commit: str) -> dict[str, float]:
        if commit not in self._metrics:
            try:
                found = revision_of_commit(repository, commit).metrics
            except (TypeError, ValueError):  # a version without readable metrics is a version all the same
                found = {}
            self._metrics[commit] = {key: round(float(value), 6) for key, value in found.items() if _told(key, value)}
        return self._metrics[commit]


def _told(key: str, value: Any) -> bool:
    """Whether it is a number of the test split for all classes together."""
    is_overall = key.startswith("test/") and key.count("/") == 1
    return is_overall and isinstance(value, int | float) and math.isfinite(value)


def shown(known: Mapping[str, Any]) -> dict[str, Any]:
    """As ``release.agent`` tells it: what an event has room for."""
    stages = {stage: {"before": held["before"][:MOST_BEFORE]} for stage, held in known["stages"].items()}
    return {"stages": stages, "versions": known["versions"][:MOST_VERSIONS]}
