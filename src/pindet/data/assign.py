"""See to it that no split that was asked for stays empty."""

from __future__ import annotations

import logging
from dataclasses import replace

from pindet.data.shards import Entry
from pindet.data.split import place_of, split_of

logger = logging.getLogger(__name__)


def with_every_split(entries: list[Entry], seed: int, val_fraction: float, test_fraction: float) -> list[Entry]:
    """Return ``entries`` with those splits filled from train that are empty though their fraction is not 0."""
    fractions = {"val": val_fraction, "test": test_fraction}
    shared = _shared(entries, seed, fractions)
    for split, fraction in fractions.items():
        if fraction and not any(entry.split == split for entry in shared):
            shared = _with_one_in(split, shared, seed)
    return shared


def _shared(entries: list[Entry], seed: int, fractions: dict[str, float]) -> list[Entry]:
    """Take a split that the source lacks from its training images, by content, as many as its fraction says.

    Many public data sets have official lists for training and validation only.
    """
    present = {entry.split for entry in entries}
    missing = {split: 0.0 if split in present else share for split, share in fractions.items()}
    taken = [
        replace(entry, split=split_of(entry.digest, seed, missing["val"], missing["test"]))
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
    """Move the picture of train that is nearest to ``split`` by its content, unless it is the last one there."""
    pictures = sorted({e.digest for e in entries if e.split == "train"}, key=lambda digest: place_of(digest, seed))
    if len(pictures) < 2:
        return entries
    logger.warning(
        "%d images are so few that none fell to %s; one of train is %s now, so that there is something to measure "
        "on, though it says little; add images, or raise data.%s_fraction",
        len(entries), split, split, split,
    )  # fmt: skip
    return [replace(e, split=split) if e.digest == pictures[0] else e for e in entries]
