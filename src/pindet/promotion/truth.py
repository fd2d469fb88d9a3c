"""What the tags of an artifact add up to: its versions, and what each stage holds and held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from gto.constants import Action
from gto.tag import name_tag

from pindet.promotion.errors import PromotionError
from pindet.promotion.versions import Bump, is_version, next_version, numbers

ACTION = "Pindet-Action: "
"""Begins the last line of what a tag says; what wrote the tag follows."""
OVERRIDDEN = "comparison overridden: "
"""Begins the line of a promotion that the comparison was against; the reason follows."""
PROMOTION, ROLLBACK = "promotion", "rollback"


@dataclass(frozen=True)
class Tag:
    """A git tag that says something of an artifact.

    Attributes:
        name: its name.
        object: of the tag itself, 40 hex digits.
        commit: that it is on, 40 hex digits.
        is_annotated: whether it has an author, a time and a message.
        version: that it registers, or nothing.
        stage: that it fills, or nothing.
        takes_back: whether it ends what an earlier one said.
        number: of a stage's tag, which grows from one to the next.
        who: its author, ``Name <address>``.
        when: seconds since 1970 (UTC).
        message: what its author says.
    """

    name: str
    object: str
    commit: str
    is_annotated: bool
    version: str
    stage: str
    takes_back: bool
    number: int
    who: str
    when: int
    message: str

    @property
    def goes_back(self) -> bool:
        """Whether it was written by a rollback."""
        lines = self.message.split("\n")
        if lines[-1].startswith(ACTION):
            return lines[-1] == f"{ACTION}{ROLLBACK}"
        return lines[2:3] == [ROLLBACK]  # as tags said it that had no such line


@dataclass(frozen=True)
class Placement:
    """A version in a stage, and the tag that put it there."""

    version: str
    stage: str
    tag: Tag

    @property
    def commit(self) -> str:
        """The commit of the version."""
        return self.tag.commit


@dataclass(frozen=True)
class Truth:
    """Everything that the tags of an artifact say.

    Attributes:
        artifact: its name.
        tags: those that count.
        lightweight: names of tags that do not count because they are not annotated.
        unshared: names of tags, lightweight or not, that do not count because the git remote does not have them.
    """

    artifact: str
    tags: tuple[Tag, ...]
    lightweight: tuple[str, ...] = ()
    unshared: tuple[str, ...] = ()

    @cached_property
    def versions(self) -> dict[str, Tag]:
        """The registered versions and their tags, oldest first."""
        found: dict[str, Tag] = {}
        for tag in _in_order(tag for tag in self.tags if tag.version):
            if not tag.takes_back:
                found[tag.version] = tag
            else:
                found.pop(tag.version, None)
        return {version: found[version] for version in sorted(found, key=_by_number)}

    @property
    def stages(self) -> list[str]:
        """Every stage that was ever filled."""
        return sorted({tag.stage for tag in self.tags if tag.stage})

    def version_of(self, commit: str) -> str | None:
        """The version of a commit; ``None`` if it has none."""
        found = [version for version, tag in self.versions.items() if tag.commit == commit]
        return found[-1] if found else None

    def placed(self, stage: str) -> Placement | None:
        """What a stage holds now."""
        held = self.history(stage)
        return held[-1] if held else None

    def history(self, stage: str) -> list[Placement]:
        """What a stage was filled with and was not taken back from it, in order; the last is what it holds."""
        held: list[Placement] = []
        for tag in _in_order(tag for tag in self.tags if tag.stage == stage):
            if tag.takes_back:
                held = [placement for placement in held if placement.commit != tag.commit]
            else:
                held.append(Placement(self.version_of(tag.commit) or "", stage, tag))
        return [placement for placement in held if placement.version]

    def earlier(self, stage: str) -> Placement | None:
        """What a stage held before the version that it holds; what was rolled back counts as never held."""
        way = self._way(stage)
        return way[-2] if len(way) > 1 else None

    def before(self, stage: str) -> list[str]:
        """The versions that a stage held before the one that it holds, each once.

        First those that a rollback goes back to, latest first, then those that were rolled back.
        """
        held = [placement.version for placement in self.history(stage)]
        way = [placement.version for placement in self._way(stage)]
        return list(dict.fromkeys(version for version in [*way[::-1], *held[::-1]] if version != held[-1]))

    def _way(self, stage: str) -> list[Placement]:
        """How a stage came to what it holds: without what was rolled back, and no version twice in a row."""
        way: list[Placement] = []
        for placement in self.history(stage):
            versions = [each.version for each in way]
            if placement.tag.goes_back and placement.version in versions:
                del way[len(way) - versions[::-1].index(placement.version) :]
            elif versions[-1:] != [placement.version]:
                way.append(placement)
        return way

    def commit_of(self, version: str) -> str:
        """The commit of a version.

        Raises:
            PromotionError: there is no such version.
        """
        if version not in self.versions:
            known = ", ".join(self.versions) or "none"
            raise PromotionError(f"there is no version {version!r} of {self.artifact}; there are: {known}")
        return self.versions[version].commit

    def next_version(self, bump: Bump) -> str:
        """The version that a new commit gets; a number that was ever taken, where all see it, is not taken again."""
        names = [*(tag.version for tag in self.tags), *self._shared_lightweight]
        return next_version((name.rpartition("@")[2].rstrip("!") for name in names), bump)

    def occupied(self, version: str) -> str:
        """Why a version that is not registered can not be: another tag has its name; empty when it can."""
        name = self.version_tag(version)
        if version in self.versions:
            return ""
        if name in self.lightweight:
            return f"there is a lightweight tag {name}, which counts for nothing"
        if name in self.unshared:
            return f"there is a tag {name} in this clone alone, which counts for nothing"
        if any(tag.version == version for tag in self.tags):
            return f"{version} was registered once and taken back"
        return ""

    def version_tag(self, version: str) -> str:
        """The name of the tag that registers a version."""
        return str(name_tag(Action.REGISTER, self.artifact, version=version, simple=True))

    def stage_tag(self, stage: str) -> str:
        """The name of the tag that fills a stage next."""
        base = name_tag(Action.ASSIGN, self.artifact, stage=stage, simple=True)
        lasts = [name.rpartition("#")[2] for name in self._shared_lightweight]
        taken = [int(last) for last in lasts if last.isdecimal()]
        return f"{base}#{max([0, *taken, *(tag.number for tag in self.tags)]) + 1}"

    def in_the_way(self, version: str, stage: str) -> list[str]:
        """Names of tags that are to be written for a version in a stage, and that this clone alone has given away.

        Two clones that number from what only they have would not see that they want the same.
        """
        placed = self.placed(stage)
        if placed is not None and placed.version == version:
            return []
        wanted = (
            [self.stage_tag(stage)] if version in self.versions else [self.version_tag(version), self.stage_tag(stage)]
        )
        return [name for name in wanted if name in self.unshared]

    @property
    def _shared_lightweight(self) -> list[str]:
        return [name for name in self.lightweight if name not in self.unshared]


def never_held(stage: str, version: str, before: Sequence[str]) -> str:
    """Why a stage can not be rolled back to a version; empty when it can.

    Args:
        before: the versions that the stage held before.
    """
    if version in before:
        return ""
    return (
        f"{stage} did not hold {version} before; it held {', '.join(before) or 'nothing else'}. A rollback is not "
        f"compared: pindet promote --stage {stage} --rev {version} is"
    )


def _in_order(tags: Iterable[Tag]) -> list[Tag]:
    return sorted(tags, key=lambda tag: (tag.when, tag.number))


def _by_number(version: str) -> tuple[int, int, int]:
    return numbers(version) if is_version(version) else (0, 0, 0)
