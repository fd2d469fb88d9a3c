"""See to it that no split that was asked for stays empty."""

from __future__ import annotations

import logging
from dataclasses import replace

from pindet.data.records import SPLITS
from pindet.data.shards import Entry
from pindet.data.split import place_of, split_of

logger = logging.getLogger(__name__)


def with_every_split(entries: list[Entry], seed: int, val_fraction: float, test_fraction: float) -> list[Entry]:
    """Return ``entries`` with one picture moved into each empty split that should have some.

    Those are train, and val and test where their fraction is not 0. Official splits lend from train alone.
    """
    fractions = {"val": val_fraction, "test": test_fraction}
    shared = _shared(entries, seed, fractions)
    for split in SPLITS:
        if fractions.get(split, 1.0) and not any(entry.split == split for entry in shared):
            shared = _with_one_in(split, shared, seed)
    return shared


def say_unlisted(entries: list[Entry]) -> None:
    """Say of how many images the source's own splits know nothing, and where those are now, if it has splits."""
    unlisted = [entry.split for entry in entries if not entry.official]
    if 0 < len(unlisted) < len(entries):
        where = ", ".join(f"{unlisted.count(split)} to {split}" for split in SPLITS if split in unlisted)
        logger.warning(
            "%d of %d images are in none of the source's own splits; by their content these went: %s",
            len(unlisted),
            len(entries),
            where,
        )


def _shared(entries: list[Entry], seed: int, fractions: dict[str, float]) -> list[Entry]:
    """Take a split that the source lacks from its training images, by content, as many as its fraction says.

    Many public data sets have official lists for training and validation only.
    """
    present = {entry.split for entry in entries}
    missing = {split: 0.0 if split in present else share for split, share in fractions.items()}
    taken = [
        replace(entry, split=split_of(entry.digest, seed, missing["val"], missing["test"]), official=False)
        if entry.split == "train"
        else entry
        for entry in entries
    ]
    if not any(entry.split == "train" for entry in taken):  # too few images to share
        return entries
    for split in sorted({entry.split for entry in taken} - present):
        count = sum(entry.split == split for entry in taken)
        logger.info("the source has no %s images; %d of its train images are %s now", split, count, split)
    return taken


def _with_one_in(split: str, entries: list[Entry], seed: int) -> list[Entry]:
    """Move a picture into the empty ``split``, unless none can be spared."""
    chosen = _spared(split, entries, seed)
    if chosen is None:
        return entries
    giver = next(entry.split for entry in entries if entry.digest == chosen)
    purpose, remedy = "measure on", f"raise data.{split}_fraction"
    if split == "train":
        purpose, remedy = "train on", f"lower data.{giver}_fraction"
    logger.warning(
        "%d images are so few that none fell to %s; one of %s is %s now, so that there is something to %s, though it "
        "says little; add images, or %s",
        len(entries), split, giver, split, purpose, remedy,
    )  # fmt: skip
    return [replace(entry, split=split) if entry.digest == chosen else entry for entry in entries]


def _spared(split: str, entries: list[Entry], seed: int) -> str | None:
    """The digest of the picture to move into ``split``: of train if it has two, else the nearest of another split.

    A split keeps its last picture, unless there is none to train on, and keeps what is there officially.
    """
    pictures = {s: {e.digest for e in entries if e.split == s} for s in SPLITS}
    if len(pictures["train"]) > 1:
        return min(pictures["train"], key=lambda digest: place_of(digest, seed))
    fixed = {entry.digest for entry in entries if entry.official}
    givers = [s for s in ("val", "test") if len(pictures[s]) > 1]
    if split == "train" and not any(pictures[s] - fixed for s in givers):
        givers = ["val", "test"]
    free = sorted(set().union(*(pictures[s] for s in givers)) - fixed, key=lambda digest: place_of(digest, seed))
    if not free:
        return None
    return free[0] if split == "test" else free[-1]
