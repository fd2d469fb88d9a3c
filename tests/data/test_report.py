"""The report of prepare."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pindet.data import contact_sheet as sheets
from pindet.data.contact_sheet import written
from pindet.data.letters import fitted, letters
from pindet.data.prepare import prepare
from pindet.data.report import write_report
from pindet.data.voc import VocSource


def made(base: Path, writers: Any, samples: Any, classes: Any) -> Path:
    writers["voc"](base / "in", samples, classes)
    options: dict[str, Any] = {"val_fraction": 0.2, "test_fraction": 0.2, "shard_count": 2, "max_rejected": 9}
    report = prepare(VocSource(base / "in"), base / "prepared", seed=0, **options)
    write_report(report, base / "prepared", base / "reports" / "prepare")
    write_report(report, base / "prepared", base / "reports" / "prepare")  # a second one replaces the first
    return base / "reports" / "prepare"


@pytest.fixture
def bad_samples(samples: Any) -> Any:
    samples[0][2].append(("no", 5, 5, 5, 9))
    samples[1][2].append(("no", -5, 5, 25, 9))
    return samples


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def test_every_rejection_is_named(
    tmp_path: Path, writers: Any, bad_samples: Any, classes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        output = made(tmp_path, writers, bad_samples, classes)
    said = "not all was as it should be: 1 zero_area (dropped), 1 outside (clipped); each is in "
    assert any(record.message.startswith(said) for record in caplog.records)
    found = [(r["item"], r["reason"], r["action"]) for r in rows(output / "rejections.csv")]
    assert found == [("a b.png", "zero_area", "dropped"), ("nested/é.PNG", "outside", "clipped")]
    summary = json.loads((output / "summary.json").read_text("utf-8"))
    assert summary["rejected"] == [
        {"reason": "outside", "action": "clipped", "count": 1},
        {"reason": "zero_area", "action": "dropped", "count": 1},
    ]


def test_counts_and_sizes(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    output = made(tmp_path, writers, samples, classes)
    summary = json.loads((output / "summary.json").read_text("utf-8"))
    assert summary["classes"] == classes
    train, test = summary["splits"]["train"], summary["splits"]["test"]
    assert (train["images"], train["boxes"], train["images_without_boxes"]) == (2, 3, 0)
    assert train["box_width"] == {"min": 4.5, "median": 29.0, "max": 64.0}
    assert (test["images"], test["boxes"], test["images_without_boxes"], test["box_width"]) == (1, 0, 1, None)
    balance = {(r["class"], r["split"]): (r["boxes"], r["images"]) for r in rows(output / "class_balance.csv")}
    assert len(balance) == 12
    assert balance["人", "train"] == ("1", "1")
    assert balance["人", "val"] == ("0", "0")


def test_the_bytes_depend_on_the_data_alone(tmp_path: Path, writers: Any, bad_samples: Any, classes: Any) -> None:
    trees = []
    for name in ("one", "the other"):
        output = made(tmp_path / name, writers, bad_samples, classes)
        trees.append({p.name: p.read_bytes() for p in output.iterdir()})
        assert [p.name for p in output.parent.iterdir()] == ["prepare"]
    assert trees[0] == trees[1]
    assert sorted(trees[0]) == ["class_balance.csv", "contact_sheet.jpg", "rejections.csv", "summary.json"]
    assert not any(str(tmp_path).encode() in data for data in trees[0].values())


def test_boxes_are_drawn(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    sheets = []
    for name, boxes in (("with", [("no", 10, 10, 30, 40)]), ("without", [])):
        output = made(tmp_path / name, writers, [("train", "a.png", boxes), *samples[2:]], classes)
        sheets.append(np.asarray(Image.open(output / "contact_sheet.jpg"), np.int64))
    changed = np.abs(sheets[0] - sheets[1]).max(axis=2) > 100
    rows_, columns = np.nonzero(changed[30:255, :310])
    scale = 300 / 64
    assert abs(columns.min() - (8 + 10 * scale)) < 8
    assert abs(rows_.max() - 40 * scale) < 8


def test_names_do_not_hide_a_crowded_image(tmp_path: Path, writers: Any, samples: Any, classes: Any) -> None:
    heaps = [[("no", 10, 10, 30, 40)] * n for n in (60, 61)]
    sheets = []
    for boxes in heaps:
        output = made(tmp_path / str(len(boxes)), writers, [("train", "a.png", boxes), *samples[2:]], classes)
        sheets.append(np.asarray(Image.open(output / "contact_sheet.jpg"), np.int64))
    changed = np.abs(sheets[0] - sheets[1]).max(axis=2)[30:255, :310] > 100
    rows_ = np.nonzero(changed)[0] / (300 / 64)
    assert rows_.min() < 10  # only the names above, in the upper edge and below the box are gone
    assert not ((rows_ > 14) & (rows_ < 39)).any()


@pytest.fixture
def first(tmp_path: Path, writers: Any, samples: Any) -> Callable[..., NDArray[np.int64]]:
    """Draw the first image, 300 x 225, with boxes given as in its 64 x 48 pixels; the others have classes no and on."""

    def draw(*boxes: Any) -> NDArray[np.int64]:
        base = tmp_path / str(len(list(tmp_path.iterdir())))
        others = [("train", "z.png", [("no", 1, 2, 30, 40), ("on", 3, 3, 9, 9)]), *samples[2:]]
        output = made(base, writers, [("train", "a.png", list(boxes)), *others], [])
        return np.asarray(Image.open(output / "contact_sheet.jpg"), np.int64)[30:255, 8:308]

    return draw


@pytest.fixture
def places(first: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[NDArray[Any], NDArray[Any]]]:
    """Rows and columns of the first image where names are written."""

    def find(*boxes: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        named = first(*boxes)
        with monkeypatch.context() as patch:
            patch.setattr(sheets, "fitted", lambda *_: "")
            nameless = first(*boxes)
        rows_, columns = np.nonzero(np.abs(named - nameless).max(axis=2) > 100)
        return rows_, columns

    return find


def test_a_box_as_large_as_its_image_has_its_name_inside(places: Any) -> None:
    rows_, _ = places(("no", 0, 0, 64, 48))
    assert 4 < rows_.max() < 30


def test_letters_at_the_upper_edge_are_whole(first: Any) -> None:
    height = 12  # of the name with its margins; less than a pixel is left above the second
    picture = first(("RBC", 20, 20, 40, 40), ("RBC", 20, (height + 0.4) * 64 / 300, 40, 15)) @ [0.299, 0.587, 0.114]
    upper = picture[2 : height - 2, 96:116]
    assert np.abs(upper - picture[94 - height + 2 : 94 - 2, 96:116]).max() < 60


def test_a_long_name_is_cut(places: Any) -> None:
    _, columns = places(("a name that is far too long for a picture of that size", 4, 20, 20, 40))
    assert 100 < columns.max() - columns.min() < 160


def test_names_at_one_place_do_not_cover_each_other(places: Any) -> None:
    rows_, _ = places(("no", 20, 20, 40, 40), ("on", 20, 20, 40, 40))
    above, below = rows_ < 20 * 300 / 64 + 4, rows_ > 40 * 300 / 64 - 4
    assert above.any() and below.any() and (above | below).all()


def test_no_line_crosses_a_name(first: Any) -> None:
    box = ("no", 20, 20, 40, 40)
    alone, crossed = (first(*boxes)[84:92, 96:110] for boxes in ([box], [box, ("on", 22, 10, 50, 30)]))
    assert np.abs((alone - crossed) @ [0.299, 0.587, 0.114]).max() < 20  # JPEG mixes the colours of neighbours


@pytest.mark.parametrize("names", [["M" * 20, "W" * 20], ["a name that goes on and on " * 9, "nut"]])
def test_names_of_the_legend_do_not_meet(tmp_path: Path, writers: Any, samples: Any, names: list[str]) -> None:
    boxes = [(name, 5, 5, 20, 20) for name in names]
    output = made(tmp_path, writers, [("train", "a.png", boxes), *samples[3:]], [])
    row = np.asarray(Image.open(output / "contact_sheet.jpg"), np.int64)[-32:]
    longest = max(letters(14).getlength(fitted(name, 14, 600)) for name in names)
    end = 8 + 20 + round(longest)  # of the first column: gap, coloured square, name
    assert (row[:, 28:end] < 100).any()
    assert (row[:, end + 3 : end + 17] > 200).all()
    assert (row[:, end + 40 : end + 100] < 100).any()


def test_no_letter_is_drawn_that_the_font_lacks() -> None:
    assert written("1e3", 0) == "1e3"
    assert written("Größe é", 2) == "Größe é"
    assert written("人", 3) == "#3"
