"""What the model card of a version says, section by section."""

import re

import pytest


@pytest.fixture
def sections(project):
    """The sections of the card of a model that misses every nut, by heading."""
    project.train(miss=range(24))
    project.promote()
    card = (project.remote / project.release()["card"]).read_text("utf-8")
    return dict(re.findall(r"(?ms)^## (.+?)$(.*?)(?=^## |\Z)", card))


def test_it_has_every_section(sections):
    assert list(sections) == ["What it is", "Data", "Measures", "Limits", "Lineage"]


def test_its_measures_have_intervals(project):
    project.train(miss=range(8))
    project.promote()
    card = (project.remote / project.release()["card"]).read_text("utf-8")
    measures = card.partition("## Measures")[2].partition("## ")[0]
    assert "with 95% intervals of a bootstrap over images" in measures
    for name, objects in (("nut", 24), (r"\*\*all\*\*", 48)):
        value, low, high = re.search(rf"\| {name} \| {objects} \| (\S+) \[(\S+), (\S+)\] \|", measures).groups()
        assert float(low) < float(value) < float(high)
    assert re.search(r"F1 at the default threshold: \S+ \[\S+, \S+\]", measures)


def test_its_limits_name_classes_with_few_objects_and_those_that_are_missed(sections):
    limits = sections["Limits"]
    assert "- bolt: only 24 objects in the test images" in limits
    assert "- nut: average precision 0.42" in limits and "bolt: average precision" not in limits
    assert "it knows no other classes" in limits


def test_its_lineage_leads_back_to_commit_bundle_weights_and_data(sections, project):
    lineage = sections["Lineage"]
    assert f"commit: `{project.git('rev-parse', 'HEAD')}`, tag `detector@v1.0.0`" in lineage
    for name, path in {
        "bundle": "models/bundle", "weights": "models/weights.safetensors", "prepared data": "data/prepared",
    }.items():  # fmt: skip
        assert f"- {name}: `{project.pinned(path)}`" in lineage
    assert "released by Tester <tester@localhost>, " in lineage and "pindet lineage v1.0.0" in lineage


def test_it_says_that_the_comparison_was_overridden(project):
    project.promote()
    project.train(miss=range(24))
    project.promote(override="nuts are not made")
    card = (project.remote / project.release()["card"]).read_text("utf-8")
    assert "- released though the comparison with what was there before is against it: nuts are not made" in card
