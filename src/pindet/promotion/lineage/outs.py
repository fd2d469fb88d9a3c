"""What DVC keeps of a stage: in the cache here, and in the remote that others take it from."""

from __future__ import annotations

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.lineage.link import Link, State


def judge_out(bench: Bench, about: str, md5: str, *, is_released: bool, thorough: bool) -> Link:
    """Whether each object of an out is intact, wherever it is had from.

    Args:
        about: what the out is called.
        md5: of the out; empty when there is none.
        is_released: whether the remote has to have it, too.
        thorough: read and hash what the remote has, instead of looking whether it lists it.
    """
    if not md5:
        return Link(about, "none", State.broken, "dvc.lock pins none")
    objects = bench.objects
    try:
        md5s = [md5, *(entry.md5 for entry in objects.listing(md5))] if md5.endswith(".dir") else [md5]
        for each in md5s:
            objects.read(each)
    except PromotionError as error:
        return Link(about, md5, State.broken, str(error))
    intact = f"{len(md5s) - 1} objects intact" if len(md5s) > 1 else "intact"
    if not (is_released or thorough):
        return Link(about, md5, State.holds, intact)
    try:
        lacking = sorted(each for each, size in objects.sizes(md5s).items() if size is None)
    except PromotionError as error:
        return Link(about, md5, State.unknown, f"{intact} here; {error}")
    if lacking and is_released:
        missing = f"{len(lacking)} of {len(md5s)} objects are missing in {objects.address}; dvc push brings them"
        return Link(about, md5, State.broken, f"{intact} here, but {missing}")
    if not thorough:
        return Link(about, md5, State.holds, f"{intact} here, and listed by the DVC remote")
    return _read(bench, about, md5, [each for each in md5s if each not in lacking], intact)


def _read(bench: Bench, about: str, md5: str, md5s: list[str], intact: str) -> Link:
    try:
        for each in md5s:
            bench.objects.check(each)
    except PromotionError as error:
        return Link(about, md5, State.broken, f"{intact} here, but {error}")
    return Link(about, md5, State.holds, f"{intact}, here and in the DVC remote")
