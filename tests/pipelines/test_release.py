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


def scripts(name):
    """What the comparing job of an example types, without installing and commenting."""
    content = yaml.safe_load((EXAMPLES / name).read_text("utf-8"))
    if name.startswith("github"):
        steps = [step for step in content["jobs"]["compare"]["steps"] if "run" in step]
        return [(step["run"], step.get("env", {})) for step in steps if step["name"].startswith(("Evaluate", "Judge"))]
    return [(script, {}) for script in content["compare"]["script"] if "curl" not in script]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_ci_examples_evaluate_and_compare_in_a_clone_that_has_nothing(released, name):
    for folder in (".dvc/cache", "data/prepared", "models", "reports"):
        shutil.rmtree(released.root / folder)
    runs = (released.root / "mlflow.db").read_bytes()
    for script, environment in scripts(name):
        released.run("bash", "-e", "-c", script, **environment)
    assert (released.root / "reports/evaluate/report.html").is_file()
    comment = (released.root / "comment.md").read_text("utf-8")
    assert "bundle" in comment and "| on the test images | " in comment
    assert "Running stage 'train'" not in comment
    assert (released.root / "mlflow.db").read_bytes() == runs
