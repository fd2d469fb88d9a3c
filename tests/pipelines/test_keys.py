"""No key is there for nothing: the stages, run in this process, read each field of what ``params.yaml`` configures."""

import dataclasses
import importlib
import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml

from pindet.compose import compose
from pindet.params import Params, load_params

TINY = ["+experiment=tiny"]
DATA_TESTS = Path(__file__).parents[1] / "data/conftest.py"


@pytest.fixture
def reads(monkeypatch):
    """The fields read of each group that a stage builds, and all the fields that each has."""
    seen, there = set(), set()

    def watch(value, group):
        if not dataclasses.is_dataclass(value):
            return value
        plain = type(value)
        names = {field.name for field in dataclasses.fields(value)}
        for name in names:
            watch(getattr(value, name), f"{group}.{name}")
        there.update(f"{group}.{name}" for name in names)

        def read(self, name):
            if name in names:
                seen.add(f"{group}.{name}")
            return plain.__getattribute__(self, name)

        object.__setattr__(value, "__class__", type(plain.__name__, (plain,), {"__getattribute__": read}))
        return value

    build = Params.build
    monkeypatch.setattr(Params, "build", lambda self, group, **more: watch(build(self, group, **more), group))
    return seen, there


def run(stage, tmp_path, overrides):
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump(compose(Path("conf"), ["tracking=off", *overrides])), encoding="utf-8")
    importlib.import_module(f"pipelines.{stage}").main(load_params(path))


def unread(reads, group):
    seen, there = reads
    of_group = {key for key in there if key.startswith(f"{group}.")}
    assert of_group
    return sorted(of_group - seen)


def labelled(kind, root):
    """A small data set of that format; its folder."""
    spec = importlib.util.spec_from_file_location("data_conftest", DATA_TESTS)
    builders = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builders)
    samples = [(split, f"{split}.png", [("人", 1, 2, 30, 40)]) for split in ("train", "val", "test")]
    getattr(builders, f"write_{kind}")(root, samples, ["人"])
    return root


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parts", "voc", "coco", "yolo"])
def test_preparing_reads_each_key_of_the_data(project, monkeypatch, tmp_path, reads, kind):
    monkeypatch.chdir(project.root)
    shutil.rmtree("data/prepared")
    root = None if kind == "parts" else labelled(kind, tmp_path / "raw")
    run("prepare", tmp_path, [f"data={kind}", f"data.root={root}"] if root else TINY)
    assert not unread(reads, "data")


def test_training_reads_each_key_of_its_own(project, monkeypatch, tmp_path, reads):
    monkeypatch.chdir(project.root)
    run("train", tmp_path, [*TINY, "training.epochs=1"])
    assert not unread(reads, "training") + unread(reads, "runtime")


def test_evaluating_reads_each_key_of_its_own(project, monkeypatch, tmp_path, reads):
    monkeypatch.chdir(project.root)
    shutil.rmtree("reports/evaluate")
    # No box is as good as that: the threshold is the one for a model that finds nothing.
    run("evaluate", tmp_path, [*TINY, "evaluation.iou_threshold=0.999"])
    assert not unread(reads, "evaluation")


@pytest.mark.slow
def test_exporting_reads_each_key_of_its_own(project, monkeypatch, tmp_path, reads):
    monkeypatch.chdir(project.root)
    shutil.rmtree("models/bundle")
    # Rounded to 8 bits, a model that has learnt nothing answers anything; here it matters what is read.
    monkeypatch.setattr("pindet.export.formats.prove", lambda *_: None)
    run("export", tmp_path, [*TINY, "export.formats=[int8,pt2]", "export.max_map_drop=1"])
    assert not unread(reads, "export")
