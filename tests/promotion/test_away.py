"""What only looks goes on without MLflow or the git remote, and says what it does not know; what writes does not."""

import json
import shutil

import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.status.state import find_state
from pindet.tracking.store import TrackingError

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def released(shared):
    """A project with v1.0.0 in production, on a git remote."""
    shared.promote()
    return shared


@pytest.fixture
def no_origin(released):
    """The same, whose git remote is out of reach."""
    shutil.move(released.origin, released.root.parent / "elsewhere.git")
    return released


@pytest.fixture
def no_mlflow(released, monkeypatch):
    """The same, whose MLflow is out of reach."""
    text = (released.root / "params.yaml").read_text()
    released.write("params.yaml", text.replace("enabled: false", "enabled: true"))
    released.commit()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    return released


def test_status_without_the_git_remote_believes_this_clone(no_origin):
    said = json.loads(no_origin.pindet("status", "--server", NOWHERE, "--json", status=1))
    assert said["stages"][0]["version"] == said["version"] == "v1.0.0" and not said["drifts"]
    assert [text.split(":")[0] for text in said["unknown"]] == [
        "what was released since the tags of this clone", f"what {NOWHERE.partition(':')[0]}",
    ]  # fmt: skip
    assert "the git remote origin can not be asked" in no_origin.pindet("status", status=1)
    (no_origin.remote / "releases/detector/production.json").unlink()
    assert json.loads(no_origin.pindet("status", "--json", status=3))["out_of_line"] == ["release file of production"]


def test_status_without_mlflow_says_all_else(no_mlflow):
    said = json.loads(no_mlflow.pindet("status", "--json", status=1))
    assert said["stages"][0]["version"] == "v1.0.0" and said["bundle_md5"] == no_mlflow.pinned()
    assert len(said["unknown"]) == 1 and said["unknown"][0].startswith("what MLflow knows: ")
    assert "MLflow was not asked" in no_mlflow.pindet("status", status=1)


@pytest.mark.parametrize("arguments", [["lineage", "v1.0.0"], ["compare", "champion", "HEAD"]])
def test_the_walk_and_the_comparison_go_on_without_the_git_remote(arguments, no_origin):
    no_origin.pindet(*arguments)
    assert "unknown: what was released since the tags of this clone" in no_origin.said
    said = json.loads(no_origin.pindet(*arguments, "--json"))
    assert "the git remote origin can not be asked" in said["unknown"][0]


def test_only_the_run_of_a_lineage_is_unknown_without_mlflow(no_mlflow):
    said = json.loads(no_mlflow.pindet("lineage", "v1.0.0", "--json"))
    states = {link["about"]: (link["state"], link["check"]) for link in said["links"]}
    assert states.pop("MLflow run") == ("unknown", "MLflow can not be asked")
    assert {state for state, _ in states.values()} == {"holds"}
    assert "what MLflow knows" in said["unknown"][0] and "what MLflow knows" in no_mlflow.said


def test_only_the_latency_of_a_comparison_is_unknown_without_mlflow(no_mlflow):
    said = json.loads(no_mlflow.pindet("compare", "champion", "HEAD", "--json"))
    assert [side["latency_ms"] for side in said["sides"]] == [None, None]
    assert said["sides"][1]["difference"] is not None and "what MLflow knows" in said["unknown"][0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own
def test_mlflow_that_goes_away_meanwhile_is_asked_once(no_mlflow, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    asked = []

    def away():
        asked.append(1)
        raise OSError("gone")

    with open_bench(no_mlflow.root, must_reach=False) as bench:
        monkeypatch.setattr(bench.registry._client, "search_experiments", away)
        state = find_state(bench, [])
    assert len(asked) == 1 and len(state.unknown) == 1 and "gone" in state.unknown[0] and not state.drifts


@pytest.mark.parametrize("command", ["promote", "rollback", "reconcile"])
def test_what_writes_needs_both(command, no_origin):
    no_origin.pindet(command, status=1)
    assert "the git remote origin can not be asked" in no_origin.said


def test_a_tag_that_contradicts_the_remote_s_is_no_remote_out_of_reach(released):
    released.git("tag", "-f", "-a", "-m", "other", "detector@v1.0.0", "HEAD")
    with pytest.raises(PromotionError, match=r"detector@v1\.0\.0"), open_bench(released.root, must_reach=False):
        pass


def test_mlflow_has_to_be_reached_by_default(no_mlflow):
    with pytest.raises(TrackingError, match="connection refused"), open_bench(no_mlflow.root):
        pass
