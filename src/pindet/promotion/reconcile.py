"""Make release files and MLflow follow the tags, whatever was cut, deleted or moved by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.carrying_out import Say, carry_out, following
from pindet.promotion.errors import IncompleteError
from pindet.promotion.objects import ObjectError
from pindet.promotion.release_file import FOLDER


@dataclass
class Reconciled:
    """What was found and done.

    Attributes:
        stages: version that each stage holds, ``None`` for an emptied one.
        changed: names of the steps that were taken, or would be.
        failed: what could not be done, and why.
        untagged: stages that have a release file which no tag ever filled.
        ignored: tags that do not count, and why.
    """

    stages: dict[str, str | None] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    untagged: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def reconcile(bench: Bench, say: Say, *, check: bool = False) -> Reconciled:
    """Bring every stage in line with its tags.

    Args:
        check: only say what is out of line.
    """
    result = Reconciled(ignored=ignored_tags(bench))
    for stage in bench.truth.stages:
        placed = bench.truth.placed(stage)
        result.stages[stage] = placed.version if placed else None
        if check:
            wanted = [effect.name for effect in following(bench, stage, "reconciled") if not effect.done()]
            result.changed += wanted
            for name in wanted:
                say(name, "wanted")
            continue

        def heard(name: str, what: str) -> None:
            if what == "done":
                result.changed.append(name)
            say(name, what)

        try:
            carry_out(following(bench, stage, "reconciled"), heard, is_tagged=True)
        except IncompleteError as error:
            result.failed.append(f"{stage}: {error}")
    try:
        files = bench.objects.texts.names(f"{FOLDER}/{bench.settings.artifact}")
    except ObjectError:
        if not result.failed:
            raise
        files = []  # why is said of a stage already
    released = {name.removesuffix(".json") for name in files if name.endswith(".json") and not name.startswith(".")}
    result.untagged = sorted(released - set(bench.truth.stages))
    return result


def ignored_tags(bench: Bench) -> dict[str, str]:
    """Tags that look like a release's and count for nothing, with what to do about them."""
    remote = bench.repository.remote
    light = {name: f"lightweight; git tag -d '{name}' and promote instead" for name in bench.truth.lightweight}
    local = {name: f"not on {remote}; git push {remote} '{name}', or git tag -d it" for name in bench.truth.unshared}
    return local | light
