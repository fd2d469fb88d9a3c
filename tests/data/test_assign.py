"""Splits of very few images."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter

import pytest

from pindet.data.assign import say_unlisted, with_every_split
from pindet.data.records import SPLITS
from pindet.data.shards import Entry
from pindet.data.split import split_of


def entry(number: int, split: str, official: bool = False) -> Entry:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return Entry(f"{number}.png", digest, split, official, 64, 48, [], 0, 0)


def by_content(count: int, seed: int, val: float, test: float) -> list[Entry]:
    entries = [entry(number, "train") for number in range(count)]
    return [entry(number, split_of(e.digest, seed, val, test)) for number, e in enumerate(entries)]


def splits(entries: list[Entry]) -> Counter[str]:
    return Counter(e.split for e in entries)


@pytest.mark.parametrize("shares", [(0.15, 0.15), (0.45, 0.45), (0.9, 0.05), (0.05, 0.9), (0.5, 0.0), (0.0, 0.5)])
@pytest.mark.parametrize("count", range(1, 7))
def test_every_split_gets_one_and_train_first(count: int, shares: tuple[float, float]) -> None:
    wanted = ["train", *(split for split, share in zip(("val", "test"), shares, strict=True) if share)]
    for seed in range(200):
        before = by_content(count, seed, *shares)
        after = with_every_split(before, seed, *shares)
        assert [e.name for e in after] == [e.name for e in before]
        assert splits(after)["train"]
        assert len(splits(after)) == min(count, len(wanted))
        assert set(splits(after)) <= set(wanted)
        if all(splits(before)[split] for split in wanted):
            assert after == before


@pytest.mark.parametrize("count", range(3, 7))
def test_official_training_images_alone_give_every_split_one(count: int) -> None:
    for seed in range(200):
        after = with_every_split([entry(number, "train", official=True) for number in range(count)], seed, 0.45, 0.45)
        assert len(splits(after)) == 3


def test_no_more_is_moved_than_needed() -> None:
    for seed in range(200):
        before = by_content(6, seed, 0.45, 0.45)
        after = with_every_split(before, seed, 0.45, 0.45)
        empty = set(SPLITS) - set(splits(before))
        moved = [new.split for old, new in zip(before, after, strict=True) if old.split != new.split]
        assert sorted(moved) == sorted(empty)


def test_what_is_official_stays_where_it_is() -> None:
    official = [entry(number, "test", official=True) for number in range(4)]
    assert with_every_split(official, 0, 0.1, 0.1) == official
    after = with_every_split([*official, entry(9, "test")], 0, 0.1, 0.1)
    assert [e.split for e in after] == ["test"] * 4 + ["train"]


def test_two_files_of_one_picture_stay_together() -> None:
    after = with_every_split([entry(0, "test"), entry(0, "test"), entry(1, "test")], 0, 0.1, 0.1)
    assert after[0].split == after[1].split != after[2].split


def test_the_last_picture_of_a_split_is_taken_for_train_alone() -> None:
    assert [e.split for e in with_every_split([entry(0, "val")], 0, 0.5, 0.2)] == ["train"]
    two = [entry(0, "val"), entry(1, "train")]
    assert with_every_split(two, 0, 0.5, 0.2) == two


def test_what_was_moved_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        with_every_split([entry(number, "val") for number in range(3)], 0, 0.8, 0.1)
    assert [record.message for record in caplog.records] == [
        "3 images are so few that none fell to train; one of val is train now, so that there is something to train on, "
        "though it says little; add images, or lower data.val_fraction",
        "3 images are so few that none fell to test; one of val is test now, so that there is something to measure on, "
        "though it says little; add images, or raise data.test_fraction",
    ]


@pytest.mark.parametrize(("listed", "warned"), [(0, 0), (3, 1), (5, 0)])
def test_images_that_are_in_no_list_are_said(caplog: pytest.LogCaptureFixture, listed: int, warned: int) -> None:
    with caplog.at_level(logging.WARNING):
        say_unlisted([entry(number, SPLITS[number % 3], official=number < listed) for number in range(5)])
    said = "2 of 5 images are in none of the source's own splits; by their content these went: 1 to train, 1 to val"
    assert [record.message for record in caplog.records] == [said] * warned
