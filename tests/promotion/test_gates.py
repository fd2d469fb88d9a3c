"""What closes a gate of a promotion, and what it says."""

import json
import re
import subprocess

import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import PromotionError, RefusedError
from pindet.promotion.promote import Wish, promote
from pindet.promotion.rollback import rollback


def quiet(*_):
    pass


def test_a_lock_made_of_other_code_or_parameters_is_refused(project):
    project.write("src/model.py", "WIDTH = 128\n")
    project.commit()
    assert "train: src/model.py" in project.refusal()["dvc.lock"]
    project.git("revert", "--no-edit", "HEAD")
    project.write("params.yaml", (project.root / "params.yaml").read_text().replace("epochs: 3", "epochs: 9"))
    project.commit()
    assert "train: params.yaml:training" in project.refusal()["dvc.lock"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cmd: train,", "cmd: train --more,", "the command of train"),
        ("src/model.py]", "src/model.py, src/more.py]", "dep src/more.py of train is not in dvc.lock"),
        (", src/model.py]", "]", "dep src/model.py of train is in dvc.lock alone: dvc commit -f train"),
        ("[training]", "[training, seed]", "param params.yaml:seed of train is not in dvc.lock"),
        ("params: [training], ", "", "param params.yaml:training of train is in dvc.lock alone: dvc commit -f train"),
        ("[reports/evaluate]", "[reports/evaluate, more]", "out more of evaluate is not in dvc.lock"),
        ("outs: [reports/evaluate], ", "", "out reports/evaluate of evaluate is in dvc.lock alone"),
        ("stages:", "stages:\n  more: {cmd: more}", "stage more is not in dvc.lock"),
        ("  prepare: {cmd: prepare, outs: [data/prepared]}\n", "", "stage prepare is in dvc.lock alone: delete it"),
        ("cmd: train,", "cmd: '${nothing}',", "dvc.yaml can not be read"),
    ],
)
def test_a_lock_of_other_stages_than_dvc_yaml_has_is_refused(project, old, new, said):
    pipeline = (project.root / "dvc.yaml").read_text()
    assert old in pipeline
    project.write("dvc.yaml", pipeline.replace(old, new))
    project.commit()
    assert said in project.refusal()["dvc.lock"]
    assert not project.tags()


def test_a_revision_is_judged_by_its_own_stages_with_templates_resolved(project):
    pipeline = (project.root / "dvc.yaml").read_text()
    templates = pipeline.replace("cmd: train,", "cmd: '${what}',").replace("src/model.py", "'${data.root}/model.py'")
    project.write("dvc.yaml", f"vars: [{{what: train}}]\n{templates}")
    good = project.commit()
    project.write("dvc.yaml", pipeline.replace("cmd: train,", "cmd: other,"))
    bad = project.commit()
    assert "the command of train" in project.refusal(rev=bad)["dvc.lock"]
    assert project.promote(rev=good).version == "v1.0.0"


def test_metrics_of_another_run_than_dvc_lock_pins_are_refused(project):
    project.write("metrics.json", '{"test/map": 0.99}\n')
    project.commit()
    assert "evaluate: metrics.json" in project.refusal()["dvc.lock"]


def test_a_commit_without_a_bundle_is_refused(project):
    project.write("dvc.lock", "schema: '2.0'\nstages: {}\n")
    project.commit()
    assert "pins no models/bundle" in project.refusal()["dvc.lock"]
    project.git("rm", "-q", "dvc.lock")
    project.commit()
    with pytest.raises(PromotionError, match=r"has no dvc.lock"):
        project.promote()


@pytest.mark.parametrize(
    "lock",
    [
        "[]", "schema: '2.0'\nstages: [train]\n", "schema: '2.0'\nstages: {train: }\n", "schema: '2.0'\n",
        "schema: '2.0'\nstages: {train: {cmd: train, outs: models}}\n",
        "schema: '2.0'\nstages: {train: {cmd: train, outs: [{md5: 0}]}}\n",
        "schema: '2.0'\nstages: {train: {cmd: train, deps: }}\n",
    ],
)  # fmt: skip
def test_a_lock_that_dvc_did_not_write_is_said_in_one_line(project, lock):
    project.write("dvc.lock", lock)
    project.commit()
    with pytest.raises(PromotionError, match=r"dvc\.lock of HEAD .* is not as DVC writes it"):
        project.promote()


@pytest.mark.parametrize(
    ("metrics", "seen"),
    [
        ('{"test/map": 0.9, "test/map/nut": NaN}', "has nan for test/map/nut"),
        ('{"test/map": 1e999}', "has inf for test/map"),
        ('{"test/map": 0.9, "test/map/nut": null}', "has None for test/map/nut"),
        ('{"test/map": true}', "has True for test/map"),
        ("[1]", r"has \[1\]"),
        ("{", "has no JSON"),
    ],
)
def test_metrics_that_no_release_file_can_hold_close_a_gate_before_anything_is_tagged(project, metrics, seen):
    project.promote()
    project.train(score=0.8)
    project.write("metrics.json", metrics)
    project.lock()
    project.commit()
    for dry_run in (True, False):
        with open_bench(project.root) as bench, pytest.raises(RefusedError, match="closed: release") as error:
            promote(bench, Wish(), quiet, quiet, dry_run=dry_run)
        assert re.search(seen, error.value.outcome.verdicts[-1].reason)
    assert "release" in project.refusal(stage="first")
    assert project.tags() == {"detector@v1.0.0", "detector#production#1"}


def test_a_card_that_can_not_be_made_closes_a_gate(project):
    params = (project.root / "params.yaml").read_text()
    project.write("params.yaml", params.replace("data:\n", "data: []\nother:\n"))
    project.commit()
    assert "its model card can not be made: AttributeError in card.py" in project.refusal()["release"]
    assert not project.tags()


def test_a_remote_that_is_gone_is_not_made_anew(project):
    project.promote()
    project.train(score=0.8)
    project.remote.rename(project.root.parent / "not mounted")
    assert "is not there; is it mounted?" in project.refusal()["objects"]
    assert not project.remote.exists()


def test_objects_that_are_nowhere_are_named(project):
    model = project.listing(project.pinned())["model.onnx"]
    project.object(model).unlink()
    assert "models/bundle/model.onnx" in project.refusal()["objects"]


def test_objects_missing_in_the_remote_are_brought_though_dvc_says_up_to_date(project, tmp_path):
    subprocess.run(["dvc", "push", "-q"], cwd=project.root, check=True)
    model = project.listing(project.pinned())["model.onnx"]
    project.object(model, project.remote).unlink()
    said = subprocess.run(["dvc", "push"], cwd=project.root, capture_output=True, text=True, check=True)
    assert "up to date" in said.stdout + said.stderr
    project.promote()
    assert project.served(tmp_path)[0].version == "v1.0.0"


@pytest.mark.parametrize("part", ["model.onnx", "manifest.json", "listing"])
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_object_in_the_remote_is_replaced_or_refused(project, tmp_path, part, damage):
    project.promote()
    bundle = project.pinned()
    md5 = bundle if part == "listing" else project.listing(bundle)[part]
    path = project.object(md5, project.remote)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage == "flipped" else data[:-1])
    project.promote()
    assert path.read_bytes() == data
    assert project.served(tmp_path)[0].version == "v1.0.0"
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    project.object(md5).unlink()
    assert "models/bundle" in project.refusal()["objects"]


def test_what_is_damaged_in_the_remote_is_replaced_though_the_listing_is_missing_there(project, tmp_path):
    project.promote()
    bundle = project.pinned()
    model = project.object(project.listing(bundle)["model.onnx"], project.remote)
    data = model.read_bytes()
    model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    project.object(bundle, project.remote).unlink()
    project.promote()
    assert model.read_bytes() == data
    assert project.served(tmp_path)[0].version == "v1.0.0"


def test_a_bundle_that_does_not_prove_itself_is_refused(project):
    answers = project.root / "models/bundle/golden/answers.json"
    answers.write_text(answers.read_text().replace("30.0", "20.0"))
    project.lock()
    project.commit()
    assert "does not prove itself" in project.refusal()["bundle"]
    assert not project.tags()


def test_a_worse_model_is_refused_and_a_reason_overrides(project):
    project.promote()
    project.train(score=0.8, miss=range(6))
    reason = project.refusal()["comparison"]
    assert "worse beyond chance" in reason and "class nut" in reason and "class bolt" not in reason
    assert project.promote(override="the old one fails on steel").version == "v1.1.0"
    assert "the old one fails on steel" in project.git("tag", "-n9", "-l", "detector@v1.1.0")
    assert project.release()["version"] == "v1.1.0"


def test_one_class_may_not_pay_for_the_others(project):
    project.train(score=0.7, wrong=range(12))  # bolt is bad, nut is good
    project.promote()
    project.train(score=0.8, miss=range(2))  # nut gets a little worse, all in all it is better
    assert project.refusal().keys() == {"comparison"}
    project.write("promotion.yaml", "resamples: 200\nmax_class_drop: 0.2\n")
    project.commit()
    assert project.promote().version == "v1.1.0"


def test_other_test_data_are_refused_other_training_data_are_not(project):
    project.promote()
    project.train(score=0.8, train_note="more images")
    assert project.promote().version == "v1.1.0"
    project.train(score=0.7, test_seed=1)
    said = project.refusal()["comparison"]
    assert "measured on different test data" in said and "--measure-again" in said


def evaluated(project, images, truths):
    path = project.root / "reports/evaluate/per_image.json"
    content = json.loads(path.read_text())
    content["images"] = [each if truths else each | {"truths": []} for each in content["images"][:images]]
    path.write_text(json.dumps(content))
    project.lock()
    project.commit()


def test_a_comparison_without_anything_to_measure_is_refused(project):
    evaluated(project, 24, truths=False)
    project.promote()
    project.train(score=0.8, miss=range(24))
    evaluated(project, 24, truths=False)
    assert "nothing can be measured against v1.0.0: the test images have no objects" in project.refusal()["comparison"]
    assert project.promote(override="there is nothing to see").version == "v1.1.0"


def test_a_comparison_without_test_images_is_refused(project):
    project.promote()
    project.train(score=0.8)
    evaluated(project, 0, truths=True)
    assert "there are no test images to draw from" in project.refusal(again=True)["comparison"]


def test_stages_that_git_or_mlflow_can_not_name_are_refused(project):
    for stage in ("v1", "latest", "a/b", "", "-x"):
        with pytest.raises(PromotionError, match=f"'{stage}'"):
            project.promote(stage=stage)
    project.write("promotion.yaml", "resamples: 200\naliases: {latest: newest}\n")
    project.commit()
    assert project.promote(stage="latest").version == "v1.0.0"


@pytest.mark.parametrize("stage", ["champion", "workspace", "HEAD"])
def test_stages_whose_names_are_taken_are_refused(project, stage):
    with pytest.raises(PromotionError, match=rf"the stage is '{stage}', which names something else"):
        project.promote(stage=stage)
    with open_bench(project.root) as bench, pytest.raises(PromotionError, match=rf"the stage is '{stage}'"):
        rollback(bench, stage, quiet, quiet)
    project.write("promotion.yaml", f"aliases: {{{stage}: newest}}\n")
    with pytest.raises(PromotionError, match=rf"aliases is .*{stage} can not be a stage".lower()):
        project.promote()


def test_two_stages_with_one_alias_are_refused(project):
    project.write("promotion.yaml", "aliases: {production: champion, staging: champion}\n")
    with pytest.raises(PromotionError, match=r"production and staging have one alias, champion"):
        project.promote()
    project.write("promotion.yaml", "resamples: 200\naliases: {production: staging}\n")
    project.commit()
    with pytest.raises(PromotionError, match=r"alias staging is that of production, too.*aliases: \{staging: NAME\}"):
        project.promote(stage="staging")  # which is configured, and holds nothing yet
    assert project.promote().version == "v1.0.0"


def test_an_alias_that_a_stage_has_by_its_tags_is_refused(project):
    project.promote(stage="staging")
    project.write("promotion.yaml", "resamples: 200\naliases: {production: staging}\n")
    project.commit()
    with pytest.raises(PromotionError, match=r"stage production: MLflow's alias staging is that of staging, too"):
        project.promote()


def test_settings_that_are_none_are_named(project):
    project.write("promotion.yaml", "resamples: 200\nmax_drop: 2\n")
    with pytest.raises(PromotionError, match="max_drop is 2"):
        project.promote()
    project.write("promotion.yaml", "resamples: 200\nmax_dorp: 0.1\n")
    with pytest.raises(PromotionError, match=r"max_dorp.*its keys are"):
        project.promote()


def test_a_first_model_that_finds_nothing_is_pointed_out(project):
    project.write("metrics.json", '{"test/map": 0.0}')
    project.lock()
    project.commit()
    said = {verdict.gate: verdict for verdict in project.promote().verdicts}
    assert said["comparison"].judgement == "warned" and "finds nothing" in said["comparison"].reason
