"""A release of what the real stages made: made again from its commit, and judged as the CI examples judge it."""

import shutil
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "docs/ci-examples"


@pytest.fixture
def released(project):
    """The finished project, its objects pushed and its commit promoted."""
    project.run("pindet", "promote", "--rev", "HEAD")
    return project


@pytest.mark.slow
def test_the_bundle_of_a_release_is_made_again_from_its_commit(released):
    said = released.run("pindet", "lineage", "v1.0.0", "--reproduce")
    assert "reproduced: the same bundle, " in said


@pytest.mark.slow
def test_the_ci_example_evaluates_and_compares_in_a_clone_that_has_nothing(released):
    for folder in (".dvc/cache", "data/prepared", "models", "reports"):
        shutil.rmtree(released.root / folder)
    runs = (released.root / "mlflow.db").read_bytes()
    content = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text("utf-8"))
    for step in content["jobs"]["compare"]["steps"]:
        if step.get("name") in ("Evaluate again what the pull request pins", "Judge"):
            released.run("bash", "-e", "-c", step["run"], **step.get("env", {}))
    assert (released.root / "reports/evaluate/report.html").is_file()
    comment = (released.root / "comment.md").read_text("utf-8")
    assert "bundle" in comment and "| on the test images | " in comment
    assert "Running stage 'train'" not in comment
    assert (released.root / "mlflow.db").read_bytes() == runs
