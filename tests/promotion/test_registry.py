"""What MLflow is told, with its own SQLite store and a real server."""

import json
import uuid

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pindet_serve.serving.release import parse_release

from pindet.promotion.bench import Access, open_bench
from pindet.promotion.errors import IncompleteError
from pindet.promotion.halfway import telling_how_far
from pindet.promotion.promote import Wish, promote
from pindet.promotion.reconcile import reconcile
from pindet.promotion.rollback import rollback
from pindet.tracking.registry import ModelRegistry, check_alias
from pindet.tracking.store import TrackingError


def quiet(*_):
    pass


@pytest.fixture
def tracked(project, mlflow_server, monkeypatch):
    """A project that tracks to a real server, with a model name of its own, and a run of its bundle."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    project.model = f"detector-{uuid.uuid4().hex[:8]}"
    project.write("params.yaml", (project.root / "params.yaml").read_text().replace("enabled: false", "enabled: true"))
    project.write("promotion.yaml", f"resamples: 200\nartifact: {project.model}\n")
    project.commit()
    project.client = MlflowClient(mlflow_server)
    experiment = project.client.create_experiment(project.model)
    project.run = project.client.create_run(experiment, run_name="lucky", tags={"pindet.bundle_md5": project.pinned()})
    return project


def champion(project):
    return project.client.get_model_version_by_alias(project.model, "champion")


def test_a_version_points_to_dvc_s_object_and_its_run(tracked):
    tracked.promote()
    version, md5 = champion(tracked), tracked.pinned()
    assert version.source == f"dvc://files/md5/{md5[:2]}/{md5[2:]}"
    assert version.run_id == tracked.run.info.run_id
    assert version.tags["pindet.version"] == "v1.0.0" and version.tags["pindet.bundle_md5"] == md5
    release = (tracked.remote / f"releases/{tracked.model}/production.json").read_text()
    assert tracked.run.info.run_id in release and "lucky" in release


def test_another_project_s_version_of_the_same_name_is_left_alone(tracked):
    """Two projects whose artifact is called the same share a server."""
    elsewhere = ModelRegistry(tracked.root)
    theirs = elsewhere.register(tracked.model, "v1.0.0", "0" * 32 + ".dir", "dvc://files/md5/00/00.dir", None, {})
    elsewhere.point(tracked.model, "champion", theirs)
    with open_bench(tracked.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        assert reconcile(bench, quiet, check=True).changed == []
    assert champion(tracked).version != theirs
    assert champion(tracked).tags["pindet.bundle_md5"] == tracked.pinned()
    assert tracked.client.get_model_version(tracked.model, theirs).source == "dvc://files/md5/00/00.dir"


def test_deleted_versions_and_moved_aliases_are_mended(tracked):
    with open_bench(tracked.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        tracked.train(score=0.8)
        bench.refresh()
        promote(bench, Wish(), quiet, quiet)
        assert champion(tracked).tags["pindet.version"] == "v1.1.0"
        tracked.client.delete_model_version(tracked.model, champion(tracked).version)
        wanted = "MLflow model version of v1.1.0"
        assert reconcile(bench, quiet, check=True).changed == [wanted, "MLflow alias champion"]
        reconcile(bench, quiet)
        assert champion(tracked).tags["pindet.version"] == "v1.1.0"
        first = bench.registry.version_of(tracked.model, "v1.0.0", tracked.pinned(rev="HEAD~1"))
        tracked.client.set_registered_model_alias(tracked.model, "champion", first)
        reconcile(bench, quiet)
        assert champion(tracked).tags["pindet.version"] == "v1.1.0"
        tracked.client.delete_model_version(tracked.model, first)
        rollback(bench, "production", quiet, quiet)
        assert champion(tracked).tags["pindet.version"] == "v1.0.0"


def away(*_, **__):
    raise OSError("gone")


def served(project):
    path = project.remote / f"releases/{project.model}/production.json"
    return json.loads(path.read_text())["version"] if path.exists() else None


def test_mlflow_that_goes_away_after_the_tag_holds_up_nothing_else_and_is_left_to_reconcile(tracked, monkeypatch):
    tracked.promote()
    tracked.train(score=0.8, tracked=True)
    version, alias, card = "MLflow model version of v1.1.0", "MLflow alias champion", "model card of v1.1.0"
    with open_bench(tracked.root) as bench, monkeypatch.context() as patch:
        patch.setattr(bench.registry._client, "create_model_version", away)
        with pytest.raises(IncompleteError) as error, telling_how_far(bench, "production", quiet) as say:
            promote(bench, Wish(), quiet, say)
    assert error.value.exit_code == 5 and error.value.outcome.left == [version, alias]
    said = str(error.value)
    assert f"the tags are written, but not the {version}, the {alias}: the model registry" in said
    assert said.count("gone") == 1 and "pindet reconcile" in said
    assert served(tracked) == "v1.1.0" and champion(tracked).tags["pindet.version"] == "v1.0.0"
    with open_bench(tracked.root) as bench, monkeypatch.context() as patch:
        for request in ("search_model_versions", "get_registered_model", "search_experiments"):
            patch.setattr(bench.registry._client, request, away)
        with pytest.raises(IncompleteError) as error, telling_how_far(bench, "production", quiet) as say:
            rollback(bench, "production", quiet, say)
    assert error.value.exit_code == 5 and error.value.outcome.left == [version.replace("1.1", "1.0"), alias]
    assert served(tracked) == "v1.0.0"
    with open_bench(tracked.root) as bench:
        wanted = ["release file of production"]  # it names no run; the alias has never left v1.0.0
        assert reconcile(bench, quiet, check=True).changed == wanted
        assert promote(bench, Wish(), quiet, quiet).holds == "v1.1.0"
    (tracked.remote / f"releases/{tracked.model}/v1.1.0.md").unlink()
    with open_bench(tracked.root) as bench, monkeypatch.context() as patch:
        patch.setattr(bench.registry._client, "search_model_versions", away)
        patch.setattr(bench.registry._client, "search_experiments", away)
        assert f"not the {version}, the {alias}, the {card}" in reconcile(bench, quiet).failed[0]


def test_mlflow_is_not_needed(tracked, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"can not be used.*--no-mlflow"), open_bench(tracked.root):
        pass
    with open_bench(tracked.root, Access(mlflow=False)) as bench:
        promote(bench, Wish(), quiet, quiet)
    assert served(tracked) == "v1.0.0"


def test_a_run_that_was_missed_is_named_later_and_servers_see_no_other_release(tracked):
    path, card = (tracked.remote / f"releases/{tracked.model}/{name}" for name in ("production.json", "v1.0.0.md"))
    with open_bench(tracked.root, Access(mlflow=False)) as bench:
        promote(bench, Wish(), quiet, quiet)
        assert reconcile(bench, quiet, check=True).changed == []  # without MLflow there is no run to name
    missed = parse_release(path.read_text(), "missed")
    assert missed.lineage["mlflow"] == {} and "MLflow run" not in card.read_text()
    with open_bench(tracked.root) as bench:
        wanted = ["release file of production", "model card of v1.0.0"]
        assert reconcile(bench, quiet, check=True).changed[2:] == wanted
        assert reconcile(bench, quiet).changed[2:] == wanted
        assert reconcile(bench, quiet, check=True).changed == []
    release = parse_release(path.read_text(), "made up")
    assert release.lineage["mlflow"]["run_id"] == tracked.run.info.run_id
    assert f"- MLflow run: `{tracked.run.info.run_id}` (lucky" in card.read_text()
    assert release.identity == missed.identity and release.files == missed.files
    # Another training that ends in the same bytes is no reason to write either again.
    experiment = tracked.run.info.experiment_id
    tracked.client.create_run(experiment, run_name="again", tags={"pindet.bundle_md5": tracked.pinned()})
    with open_bench(tracked.root) as bench:
        assert reconcile(bench, quiet, check=True).changed == []


def test_a_rollback_whose_run_was_missed_is_not_taken_for_one_that_was_cut(tracked):
    for score in (0.8, 0.7):
        tracked.promote()
        tracked.train(score=score, tracked=True)
    tracked.promote()
    with open_bench(tracked.root, Access(mlflow=False)) as bench:
        assert rollback(bench, "production", quiet, quiet).version == "v1.1.0"
        path = tracked.remote / f"releases/{tracked.model}/production.json"
    tracked.client.create_run(tracked.run.info.experiment_id, tags={"pindet.bundle_md5": tracked.pinned(rev="HEAD~1")})
    assert json.loads(path.read_text())["mlflow"] == {}
    with open_bench(tracked.root) as bench:
        wanted = ["release file of production", "model card of v1.1.0"]
        assert reconcile(bench, quiet, check=True).changed[-2:] == wanted
        assert rollback(bench, "production", quiet, quiet).version == "v1.0.0"


def test_of_two_promotions_at_once_the_alias_and_the_release_file_follow_the_later_tag(tracked, shared, clone):
    shared.git("push", "-q", "origin", "main")
    other = clone(shared)
    with open_bench(shared.root) as slow:
        real, came = slow.registry.point, []

        def overtaken(*arguments):
            if not came:  # the other comes, is tagged and finished, while this one is about to move the alias
                came.append(True)
                other.train(score=0.8, tracked=True)
                with open_bench(other.root) as fast:
                    assert promote(fast, Wish(), quiet, quiet).holds == "v1.1.0"
            real(*arguments)

        slow.registry.point = overtaken
        outcome = promote(slow, Wish(), quiet, quiet)
    assert (outcome.version, outcome.holds) == ("v1.0.0", "v1.1.0")
    assert "production is x v1.1.0: the tag of v1.0.0 was followed" in outcome.shown("x")
    assert champion(tracked).tags["pindet.version"] == "v1.1.0"
    release = json.loads((tracked.remote / f"releases/{tracked.model}/production.json").read_text())
    assert release["version"] == "v1.1.0"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own
def test_the_project_s_own_sqlite_store_serves_as_well(tmp_path):
    (tmp_path / "params.yaml").touch()
    registry = ModelRegistry(tmp_path)
    number = registry.register("detector", "v1.0.0", "abcd.dir", "dvc://files/md5/ab/cd.dir", None, {})
    assert registry.register("detector", "v1.0.0", "abcd.dir", "dvc://files/md5/ab/cd.dir", None, {}) == number
    registry.point("detector", "champion", number)
    assert registry.aliases("detector") == {"champion": number}
    registry.drop("detector", "champion")
    registry.drop("detector", "champion")
    assert registry.aliases("detector") == {} == registry.aliases("unknown")
    assert registry.find_run("0" * 32) is None


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V22", "a/b", "a b", ""])
def test_aliases_that_mlflow_reserves_are_refused_before_anything_changes(alias, tracked):
    with pytest.raises(ValueError, match="MLflow"):
        check_alias(alias)
    tracked.client.create_registered_model(tracked.model)
    tracked.client.create_model_version(tracked.model, "dvc://files/md5/ab/cd.dir")
    with pytest.raises(MlflowException):  # it really does
        tracked.client.set_registered_model_alias(tracked.model, alias, "1")
