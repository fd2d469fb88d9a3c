"""The tags: from them on a version is released."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.errors import IncompleteError, told
from pindet.promotion.tags import NewTag, write_tags
from pindet.promotion.truth import ACTION


class WriteTags:
    """Registers a version and puts it into a stage, both at once; from then on it is released.

    Args:
        message: what their author says.
        action: what writes them.
    """

    def __init__(self, bench: Bench, commit: str, version: str, stage: str, message: str, action: str) -> None:
        self._bench, self._commit, self._version, self._stage = bench, commit, version, stage
        self._message, self._action = message.strip(), action
        self.name = f"tags: {version} in {stage}"

    def done(self) -> bool:
        """Whether the stage holds the version."""
        placed = self._bench.truth.placed(self._stage)
        return placed is not None and (placed.version, placed.commit) == (self._version, self._commit)

    def do(self) -> None:
        """Write the tags that are missing."""
        truth = self._bench.truth
        tags = []
        if self._version not in truth.versions:
            said = f"{truth.artifact} {self._version}"
            tags.append(NewTag(truth.version_tag(self._version), self._commit, self._says(said)))
        said = f"{truth.artifact} {self._version} to {self._stage}"
        tags.append(NewTag(truth.stage_tag(self._stage), self._commit, self._says(said)))
        write_tags(self._bench.repository, truth, tags)
        try:
            self._bench.refresh()
        except Exception as error:
            raise IncompleteError(
                f"the tags are written, but can not be read again: {told(error)}. "
                "When that is mended, run pindet reconcile"
            ) from error

    def _says(self, title: str) -> str:
        return "\n\n".join(filter(None, [title, self._message, f"{ACTION}{self._action}"]))
