"""The models of ``conf/model/`` through the same four stages, to a bundle that answers."""

import json
import os

import pytest

pytestmark = [
    pytest.mark.skipif(not os.environ.get("PINDET_TEST_MODELS"), reason="slow: make test-models runs it"),
    pytest.mark.timeout(600),
]
LARGER = ["-S", "model.image_height=160", "-S", "model.image_width=160", "-S", "training.frozen_stages=0"]
GENTLE = ["-S", "training.lr=0.0005", "-S", "training.warmup=0.1", "-S", "training.epochs=25"]


@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        ("pindet_s", []), ("fcos", GENTLE), ("faster_rcnn", GENTLE), ("rtdetr_v2", []), ("dfine", []),
        ("rtdetr_v2_r18", LARGER), ("dfine_s", LARGER),
    ],
)  # fmt: skip
def test_another_model_goes_through_the_same_stages(project, model, recipe):
    said = project.dvc("exp", "run", "-S", "+experiment=tiny", "-S", f"model={model}", *recipe)
    assert "Stage 'prepare' didn't change" in said and "golden images prove it" in said
    assert "test/map" in json.loads((project.root / "metrics.json").read_text("utf-8"))
    picture = next((project.root / "reports/evaluate").rglob("*.jpg"))
    assert project.run("pindet", "predict", picture, "--format", "image", "--out", "answers")
    assert len(list((project.root / "answers").iterdir())) == 1
