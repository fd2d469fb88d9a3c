"""Carry a release out: each step that is not done yet, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pindet.promotion.bench import Bench
from pindet.promotion.effects.alias import PointAlias
from pindet.promotion.effects.announce import Announce
from pindet.promotion.effects.effect import Effect
from pindet.promotion.effects.model_card import WriteCard
from pindet.promotion.effects.model_version import RegisterVersion
from pindet.promotion.effects.release import WriteRelease
from pindet.promotion.errors import IncompleteError, LostError, told

Say = Callable[[str, str], None]
"""Told of each step: its name, and ``done``, ``already`` or, in a rehearsal, ``wanted``."""


def following(bench: Bench, stage: str, happened: str) -> list[Effect]:
    """The steps that make everything follow the tags of a stage.

    Args:
        happened: what the status bus is told: ``promoted``, ``rolled_back``, ``reconciled``.
    """
    placed = bench.truth.placed(stage)
    effects: list[Effect] = []
    if bench.registry:
        effects += [RegisterVersion(bench, placed)] if placed else []
        effects.append(PointAlias(bench, stage))
    release = WriteRelease(bench, stage)
    effects.append(release)
    if os.environ.get("REDIS_URL"):
        effects.append(Announce(bench, stage, release, happened))
    effects += [WriteCard(bench, placed)] if placed else []  # last: no server waits for it
    return effects


def carry_out(effects: Sequence[Effect], say: Say, *, is_tagged: bool) -> bool:
    """Do what is not done; return whether there was anything.

    Args:
        is_tagged: whether the tags are written, so that what fails is left for later, and the other steps are taken.

    Raises:
        IncompleteError: steps failed after the tags were written, whatever with.
        Exception: a step failed before; it is passed on as it is.
    """
    changed, failed = False, {}
    for effect in effects:
        try:
            if effect.done():
                say(effect.name, "already")
                continue
            effect.do()
        except LostError:
            raise
        except Exception as error:  # once it is tagged, the message must say what is left to do
            if not is_tagged:
                raise
            failed[effect.name] = error
            continue
        changed = True
        say(effect.name, "done")
    if failed:
        reasons = "; ".join(dict.fromkeys(map(told, failed.values())))
        end = "" if reasons.endswith("?") else "."
        raise IncompleteError(
            f"the tags are written, but not the {', the '.join(failed)}: {reasons}{end} When that is mended, run "
            "pindet reconcile"
        ) from next(iter(failed.values()))
    return changed
