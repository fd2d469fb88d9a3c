"""The generator as a source."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import pindet.data.parts
from pindet.data.parts.source import PartsSource
from pindet.data.records import Item, SourceError

ROOT = Path(pindet.data.parts.__file__).parent
OPTIONS: dict[str, Any] = {
    "seed": 0,
    "images": {"train": 2, "val": 1, "test": 1},
    "image_height": 128,
    "image_width": 160,
    "max_objects": 3,
    "empty_fraction": 0.1,
}


def contents(root: Path = ROOT, **changed: Any) -> dict[str, tuple[str | None, bytes]]:
    items = [r for r in PartsSource(root, **OPTIONS | changed).read() if isinstance(r, Item)]
    return {item.name: (item.split, item.read()) for item in items}


def test_counts_and_splits() -> None:
    made = contents()
    assert [split for split, _ in made.values()] == ["train", "train", "val", "test"]
    assert len(PartsSource(ROOT, **OPTIONS)) == 4
    assert len({data for _, data in made.values()}) == 4


def test_more_training_images_change_no_other() -> None:
    more = contents(images={"train": 4, "val": 1, "test": 1})
    assert contents().items() <= more.items()


def test_seed_changes_every_image() -> None:
    one, other = contents(), contents(seed=1)
    assert not set(one.values()) & set(other.values())


def test_a_copy_of_the_code_is_as_good(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "parts")
    assert contents(tmp_path / "parts") == contents()
    with (tmp_path / "parts" / "scene.py").open("a") as file:
        file.write("# other\n")
    with pytest.raises(SourceError, match=r"scene\.py is not the one that runs(.|\n)*src/pindet/data/parts"):
        contents(tmp_path / "parts")


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": -1},
        {"images": {"train": 0, "val": 1, "test": 1}},
        {"image_height": 100},
        {"image_width": 4000},
        {"max_objects": 0},
        {"empty_fraction": 1.5},
    ],
)
def test_values_out_of_range(changed: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=r"^(data\.\w+|seed)=.*; allowed is \d"):
        PartsSource(ROOT, **OPTIONS | changed)
