"""The four stages on a few real photographs, from the official splits of a Pascal VOC data set."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BCCD = Path(os.environ.get("PINDET_BCCD", ROOT.parent / "shared/datasets/bccd"))
ZERO_AREA = ["BloodImage_00338", "BloodImage_00343"]


@pytest.fixture
def few(tmp_path):
    """Six images a split, those with a box of zero area among them."""
    if not BCCD.is_dir():
        pytest.skip(f"the BCCD data set is not at {BCCD}; PINDET_BCCD says where it is")
    few = tmp_path / "few"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (few / folder).mkdir(parents=True)
    for split in ("train", "val", "test"):
        names = (BCCD / f"ImageSets/Main/{split}.txt").read_text(encoding="utf-8").split()
        kept = sorted({*names[:6], *(name for name in ZERO_AREA if name in names)})
        (few / f"ImageSets/Main/{split}.txt").write_text("\n".join(kept) + "\n", encoding="utf-8")
        for name in kept:
            shutil.copy(BCCD / f"Annotations/{name}.xml", few / "Annotations")
            shutil.copy(BCCD / f"JPEGImages/{name}.jpg", few / "JPEGImages")
    return few


@pytest.mark.slow
def test_the_experiment_runs_all_stages_and_names_the_boxes_of_zero_area(project, few):
    said = project.dvc(
        "exp", "run", "-S", "+experiment=bccd", "-S", f"data.root={few}", "-S", "training.epochs=2",
        "-S", "model.image_height=96", "-S", "model.image_width=128",
    )  # fmt: skip
    assert all(f"Running stage '{stage}'" in said for stage in ("prepare", "train", "evaluate", "export"))
    with (project.root / "reports/prepare/rejections.csv").open(encoding="utf-8") as file:
        rejected = list(csv.DictReader(file))
    assert [(Path(row["item"]).stem, row["reason"]) for row in rejected] == [(name, "zero_area") for name in ZERO_AREA]
    manifest = json.loads((project.root / "models/bundle/manifest.json").read_text(encoding="utf-8"))
    assert manifest["classes"] == ["Platelets", "RBC", "WBC"]
    assert "test/map" in json.loads((project.root / "metrics.json").read_text(encoding="utf-8"))
