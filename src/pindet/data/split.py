"""The split of an item, a function of its pixels and a seed alone: adding data moves nothing that was there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pindet.data.records import SPLITS

_RANK = {split: rank for rank, split in enumerate(SPLITS)}


def split_of(digest: str, seed: int, val_fraction: float, test_fraction: float) -> str:
    """Return train, val or test for the content digest; test takes the lowest hashes, then val."""
    place = place_of(digest, seed)
    if place < test_fraction:
        return "test"
    return "val" if place < test_fraction + val_fraction else "train"


def place_of(digest: str, seed: int) -> float:
    """Where the content digest falls, evenly spread over [0, 1)."""
    hashed = hashlib.sha256(f"{seed}:{digest}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") / 2**64


def winning_splits(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Map each digest of ``(digest, split)`` pairs to the split that keeps it: test wins, then val."""
    best: dict[str, str] = {}
    for digest, split in pairs:
        best[digest] = max(split, best.get(digest, split), key=_RANK.__getitem__)
    return best
