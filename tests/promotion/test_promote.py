"""Promoting: gates, effects, and what a server makes of the release."""

import json
import re
import subprocess
import time

import gto.api
import pytest
import typer
from pindet_serve.golden import load_proven
from pindet_serve.serving.sources import open_source
from pindet_serve.serving.store import Store

from pindet.cli import app
from pindet.promotion.bench import Access, open_bench
from pindet.promotion.commands.options import complete_commits, complete_revs
from pindet.promotion.errors import IncompleteError, LostError, PromotionError, RefusedError
from pindet.promotion.promote import Wish, promote
from pindet.promotion.reconcile import reconcile
from pindet.promotion.repository import GitError, Repository
from pindet.promotion.revision import Revision
from pindet.promotion.rollback import rollback
from pindet.promotion.texts import Texts
from pindet.promotion.versions import Bump


def quiet(*_):
    pass


def run(project, **wish):
    """Promote in this process."""
    with open_bench(project.root) as bench:
        return promote(bench, Wish(**wish), quiet, quiet)


def refusal(project, **wish):
    """The reasons of the closed gates."""
    with pytest.raises(RefusedError) as error:
        run(project, **wish)
    return {verdict.gate: verdict.reason for verdict in error.value.outcome.verdicts if not verdict.is_open}


def served(project, tmp_path):
    """What a server would load, proven."""
    source = open_source(str(project.remote / "releases/detector/production.json"))
    release = source.pinned()
    return release, load_proven(Store(tmp_path / "store").bundle(release, source.fetch))


def test_a_first_promotion_is_what_a_server_loads(project, tmp_path):
    assert "production is detector v1.0.0" in project.pindet("promote", "-m", "first light")
    release, detector = served(project, tmp_path)
    assert (release.name, release.version, release.stage) == ("detector", "v1.0.0", "production")
    assert release.bundle_md5 == project.pinned()
    assert release.lineage["git_commit"] == project.git("rev-parse", "HEAD")
    assert release.lineage["promoted_by"] == "Tester <tester@localhost>"
    assert "first light" in release.lineage["message"]
    assert "production is already detector v1.0.0" in project.pindet("promote", "--dry-run")
    assert detector.manifest.data_md5 == project.pinned("data/prepared") == release.lineage["data_md5"]
    assert project.tags() == {"detector@v1.0.0", "detector#production#1"}
    card = (project.remote / release.lineage["card"]).read_text("utf-8")
    assert "| 1.000 |" in card  # measured anew: metrics.json says 0.9


def test_a_rehearsal_changes_nothing_and_says_every_verdict(project):
    said = json.loads(project.pindet("promote", "--dry-run", "--json"))
    assert [verdict["gate"] for verdict in said["verdicts"]] == [
        "clean tree", "dvc.lock", "MLflow", "comparison", "objects", "bundle", "release",
    ]  # fmt: skip
    assert said["version"] == "v1.0.0" and said["changed"] is False
    assert not project.remote.exists() and not project.tags()


def test_a_second_promotion_of_the_same_changes_nothing(project):
    assert run(project).changed
    before = {path: path.stat().st_mtime_ns for path in project.remote.rglob("*")}
    assert not run(project).changed
    assert {path: path.stat().st_mtime_ns for path in project.remote.rglob("*")} == before


def test_what_is_not_committed_is_not_promoted_unless_a_revision_is_named(project):
    project.write("notes.txt", "x")
    assert "notes.txt" in refusal(project)["clean tree"]
    assert run(project, rev="main").version == "v1.0.0"


def test_the_workspace_is_committed_before_it_is_promoted(project, monkeypatch):
    project.write("models/weights.safetensors", "others")
    project.lock()
    with pytest.raises(PromotionError, match=r"'workspace', which is no commit.*commit dvc\.lock.*without --rev"):
        run(project, rev="workspace")
    assert not project.tags() and not project.remote.exists()
    monkeypatch.chdir(project.root)
    assert "workspace" in complete_revs("") and "main" in complete_commits("ma")
    assert "workspace" not in complete_commits("")
    option = next(each for each in typer.main.get_command(app).commands["promote"].params if each.name == "rev")
    assert "workspace" not in {each.value for each in option.shell_complete(None, "")}


def test_a_lock_made_of_other_code_or_parameters_is_refused(project):
    project.write("src/model.py", "WIDTH = 128\n")
    project.commit()
    assert "train: src/model.py" in refusal(project)["dvc.lock"]
    project.git("revert", "--no-edit", "HEAD")
    project.write("params.yaml", (project.root / "params.yaml").read_text().replace("epochs: 3", "epochs: 9"))
    project.commit()
    assert "train: params.yaml:training" in refusal(project)["dvc.lock"]


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
    assert said in refusal(project)["dvc.lock"]
    assert not project.tags()


def test_a_revision_is_judged_by_its_own_stages_with_templates_resolved(project):
    pipeline = (project.root / "dvc.yaml").read_text()
    templates = pipeline.replace("cmd: train,", "cmd: '${what}',").replace("src/model.py", "'${data.root}/model.py'")
    project.write("dvc.yaml", f"vars: [{{what: train}}]\n{templates}")
    good = project.commit()
    project.write("dvc.yaml", pipeline.replace("cmd: train,", "cmd: other,"))
    bad = project.commit()
    assert "the command of train" in refusal(project, rev=bad)["dvc.lock"]
    assert run(project, rev=good).version == "v1.0.0"


def test_metrics_of_another_run_than_dvc_lock_pins_are_refused(project):
    project.write("metrics.json", '{"test/map": 0.99}\n')
    project.commit()
    assert "evaluate: metrics.json" in refusal(project)["dvc.lock"]


def test_a_commit_without_a_bundle_is_refused(project):
    project.write("dvc.lock", "schema: '2.0'\nstages: {}\n")
    project.commit()
    assert "pins no models/bundle" in refusal(project)["dvc.lock"]
    project.git("rm", "-q", "dvc.lock")
    project.commit()
    with pytest.raises(PromotionError, match=r"has no dvc.lock"):
        run(project)


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
        run(project)


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
    run(project)
    project.train(score=0.8)
    project.write("metrics.json", metrics)
    project.lock()
    project.commit()
    for dry_run in (True, False):
        with open_bench(project.root) as bench, pytest.raises(RefusedError, match="closed: release") as error:
            promote(bench, Wish(), quiet, quiet, dry_run=dry_run)
        assert re.search(seen, error.value.outcome.verdicts[-1].reason)
    assert "release" in refusal(project, stage="first")
    assert project.tags() == {"detector@v1.0.0", "detector#production#1"}


def test_a_card_that_can_not_be_made_closes_a_gate(project):
    params = (project.root / "params.yaml").read_text()
    project.write("params.yaml", params.replace("data:\n", "data: []\nother:\n"))
    project.commit()
    assert "its model card can not be made: AttributeError in card.py" in refusal(project)["release"]
    assert not project.tags()


def test_a_rollback_whose_release_file_can_not_be_made_tags_nothing(project, monkeypatch):
    run(project)
    project.train(score=0.8)
    run(project)
    with monkeypatch.context() as patch:
        patch.setattr(Revision, "metrics", property(lambda _: {"test/map": float("nan")}))
        with pytest.raises(RefusedError, match="not rolled back; closed: release"):
            back(project)
    assert back(project)[0] == "v1.0.0"


def test_objects_that_are_nowhere_are_named(project):
    model = project.listing(project.pinned())["model.onnx"]
    project.object(model).unlink()
    assert "models/bundle/model.onnx" in refusal(project)["objects"]


def test_objects_missing_in_the_remote_are_brought_though_dvc_says_up_to_date(project, tmp_path):
    subprocess.run(["dvc", "push", "-q"], cwd=project.root, check=True)
    model = project.listing(project.pinned())["model.onnx"]
    project.object(model, project.remote).unlink()
    said = subprocess.run(["dvc", "push"], cwd=project.root, capture_output=True, text=True, check=True)
    assert "up to date" in said.stdout + said.stderr
    run(project)
    assert served(project, tmp_path)[0].version == "v1.0.0"


@pytest.mark.parametrize("part", ["model.onnx", "manifest.json", "listing"])
@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_object_in_the_remote_is_replaced_or_refused(project, tmp_path, part, damage):
    run(project)
    bundle = project.pinned()
    md5 = bundle if part == "listing" else project.listing(bundle)[part]
    path = project.object(md5, project.remote)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage == "flipped" else data[:-1])
    run(project)
    assert path.read_bytes() == data
    assert served(project, tmp_path)[0].version == "v1.0.0"
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    project.object(md5).unlink()
    assert "models/bundle" in refusal(project)["objects"]


def test_what_is_damaged_in_the_remote_is_replaced_though_the_listing_is_missing_there(project, tmp_path):
    run(project)
    bundle = project.pinned()
    model = project.object(project.listing(bundle)["model.onnx"], project.remote)
    data = model.read_bytes()
    model.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    project.object(bundle, project.remote).unlink()
    run(project)
    assert model.read_bytes() == data
    assert served(project, tmp_path)[0].version == "v1.0.0"


def test_a_bundle_that_does_not_prove_itself_is_refused(project):
    answers = project.root / "models/bundle/golden/answers.json"
    answers.write_text(answers.read_text().replace("30.0", "20.0"))
    project.lock()
    project.commit()
    assert "does not prove itself" in refusal(project)["bundle"]
    assert not project.tags()


def test_a_worse_model_is_refused_and_a_reason_overrides(project):
    run(project)
    project.train(score=0.8, miss=range(6))
    reason = refusal(project)["comparison"]
    assert "worse beyond chance" in reason and "class nut" in reason and "class bolt" not in reason
    assert run(project, override="the old one fails on steel").version == "v1.1.0"
    assert "the old one fails on steel" in project.git("tag", "-n9", "-l", "detector@v1.1.0")
    assert project.release()["version"] == "v1.1.0"


def test_one_class_may_not_pay_for_the_others(project):
    project.train(score=0.7, wrong=range(12))  # bolt is bad, nut is good
    run(project)
    project.train(score=0.8, miss=range(2))  # nut gets a little worse, all in all it is better
    assert refusal(project).keys() == {"comparison"}
    project.write("promotion.yaml", "resamples: 200\nmax_class_drop: 0.2\n")
    project.commit()
    assert run(project).version == "v1.1.0"


def test_other_test_data_are_refused_other_training_data_are_not(project):
    run(project)
    project.train(score=0.8, train_note="more images")
    assert run(project).version == "v1.1.0"
    project.train(score=0.7, test_seed=1)
    said = refusal(project)["comparison"]
    assert "measured on different test data" in said and "--measure-again" in said


def test_branches_commits_and_experiments_can_be_promoted(project):
    first = project.git("rev-parse", "HEAD")
    experiment = project.train(score=0.8)
    project.git("update-ref", f"refs/exps/{first[:2]}/{first[2:]}/brave-one", experiment)
    project.git("reset", "-q", "--hard", first)
    assert run(project, rev="brave-one").commit == experiment
    assert project.git("rev-parse", "detector@v1.0.0^{commit}") == experiment
    assert run(project, rev=first, bump=Bump.major).version == "v2.0.0"
    with pytest.raises(PromotionError, match=r"'nothing' is no commit.*dvc exp pull"):
        run(project, rev="nothing")


def test_a_stage_and_a_branch_of_the_same_name_are_told_apart(project):
    run(project)
    project.git("branch", "production")
    assert run(project, rev="production").version == "v1.0.0"
    project.train(score=0.8)
    project.git("branch", "--force", "production")
    with pytest.raises(PromotionError, match=r"is a stage, which holds v1\.0\.0, and something else in git"):
        run(project, rev="production")


def test_stages_that_git_or_mlflow_can_not_name_are_refused(project):
    for stage in ("v1", "latest", "a/b", "", "-x"):
        with pytest.raises(PromotionError, match=f"'{stage}'"):
            run(project, stage=stage)
    project.write("promotion.yaml", "resamples: 200\naliases: {latest: newest}\n")
    project.commit()
    assert run(project, stage="latest").version == "v1.0.0"


@pytest.mark.parametrize("stage", ["champion", "workspace", "HEAD"])
def test_stages_whose_names_are_taken_are_refused(project, stage):
    with pytest.raises(PromotionError, match=rf"the stage is '{stage}', which names something else"):
        run(project, stage=stage)
    with open_bench(project.root) as bench, pytest.raises(PromotionError, match=rf"the stage is '{stage}'"):
        rollback(bench, stage, quiet, quiet)
    project.write("promotion.yaml", f"aliases: {{{stage}: newest}}\n")
    with pytest.raises(PromotionError, match=rf"aliases is .*{stage} can not be a stage".lower()):
        run(project)


def test_two_stages_with_one_alias_are_refused(project):
    project.write("promotion.yaml", "aliases: {production: champion, staging: champion}\n")
    with pytest.raises(PromotionError, match=r"production and staging have one alias, champion"):
        run(project)
    project.write("promotion.yaml", "resamples: 200\naliases: {production: staging}\n")
    project.commit()
    with pytest.raises(PromotionError, match=r"alias staging is that of production, too.*aliases: \{staging: NAME\}"):
        run(project, stage="staging")  # which is configured, and holds nothing yet
    assert run(project).version == "v1.0.0"


def test_an_alias_that_a_stage_has_by_its_tags_is_refused(project):
    run(project, stage="staging")
    project.write("promotion.yaml", "resamples: 200\naliases: {production: staging}\n")
    project.commit()
    with pytest.raises(PromotionError, match=r"stage production: MLflow's alias staging is that of staging, too"):
        run(project)


def test_settings_that_are_none_are_named(project):
    project.write("promotion.yaml", "resamples: 200\nmax_drop: 2\n")
    with pytest.raises(PromotionError, match="max_drop is 2"):
        run(project)
    project.write("promotion.yaml", "resamples: 200\nmax_dorp: 0.1\n")
    with pytest.raises(PromotionError, match=r"max_dorp.*its keys are"):
        run(project)


def test_a_shallow_clone_without_tags_learns_them(shared, clone):
    run(shared)
    shared.train(score=0.8)
    shared.git("push", "-q", "origin", "main")
    other = clone(shared, "--depth=1", "--no-tags")
    assert not other.tags()
    subprocess.run(["cp", "-r", str(shared.root / ".dvc/cache"), str(other.root / ".dvc/cache")], check=True)
    assert run(other).version == "v1.1.0"
    assert other.tags() == shared.tags(shared.origin)
    with pytest.raises(PromotionError, match="shallow: git fetch --unshallow"):
        run(other, rev="main~5")


def test_of_two_promotions_at_once_one_wins_and_the_other_says_so(shared, clone):
    other = clone(shared)
    with open_bench(other.root) as slow:
        slow.repository.remote = "origin"
        other.train(score=0.8)
        run(shared)  # between the other's look at the tags and its push
        with pytest.raises(LostError, match="another promotion was faster"):
            promote(slow, Wish(), quiet, quiet)
    assert shared.release()["bundle_md5"] == shared.pinned()
    assert other.tags() <= shared.tags(shared.origin) == {"detector@v1.0.0", "detector#production#1"}
    assert run(other).version == "v1.1.0"  # and may try again


def test_of_two_that_write_the_release_file_the_later_tag_stays(shared, clone, monkeypatch):
    other = clone(shared)
    run(shared)
    with open_bench(other.root) as slow:
        slow.refresh()
        real, done = Texts.write, []

        def overtaken(texts, key, text):
            if key.endswith(".json") and not done:
                done.append(key)
                shared.train(score=0.8)
                assert run(shared).version == "v1.1.0"  # tag and release file, while this one is about to write its own
            real(texts, key, text)

        monkeypatch.setattr(Texts, "write", overtaken)
        slow.objects.texts.remove("releases/detector/production.json")
        reconcile(slow, quiet)
    assert done and shared.release()["version"] == "v1.1.0"


def test_a_push_that_is_refused_or_fails_releases_nothing(shared):
    hook = shared.origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PromotionError, match=r"(?s)protected.*nothing is released"):
        run(shared)
    assert not shared.tags() and shared.release() is None
    shared.git("remote", "set-url", "origin", str(shared.origin) + "-gone")
    assert "can not be asked which versions" in (shared.pindet("promote", status=1) or shared.said)


@pytest.mark.parametrize("name", ["detector@v1.0.0", "detector#production#1"])
@pytest.mark.parametrize("is_shared", [True, False])
def test_a_lock_that_was_left_behind_is_named_and_no_other_promotion(request, is_shared, name):
    project = request.getfixturevalue("shared" if is_shared else "project")
    lock = (project.origin if is_shared else project.root / ".git") / f"refs/tags/{name}.lock"
    lock.touch()
    project.pindet("promote", status=1)
    assert "faster" not in project.said and "nothing is released" in project.said
    assert f"refs/tags/{name}.lock: if none is at work, remove it" in project.said and not project.tags()
    lock.unlink()
    assert run(project).version == "v1.0.0"


def test_a_lock_of_a_promotion_that_is_about_to_win_is_waited_for(shared, clone, monkeypatch):
    other = clone(shared)
    other.train(score=0.8)
    lock = shared.origin / "refs/tags/detector@v1.0.0.lock"
    real = Repository.run

    def held(repository, *arguments, **named):
        if arguments[0] != "push" or lock.exists():
            return real(repository, *arguments, **named)
        lock.touch()
        try:
            return real(repository, *arguments, **named)
        finally:
            monkeypatch.setattr("pindet.promotion.tags.time.sleep", win)

    def win(seconds):
        if seconds and lock.exists():
            lock.unlink()
            monkeypatch.setattr(Repository, "run", real)
            run(shared)

    with open_bench(other.root) as slow:
        monkeypatch.setattr(Repository, "run", held)
        with pytest.raises(LostError, match="another promotion was faster: detector@v1"):
            promote(slow, Wish(), quiet, quiet)
    assert shared.release()["bundle_md5"] == shared.pinned()


def test_names_that_are_taken_in_a_repository_without_a_remote_are_a_promotion_that_was_faster(project):
    with open_bench(project.root) as slow:
        run(project)
        project.train(score=0.8)
        with pytest.raises(LostError, match="another promotion was faster"):
            promote(slow, Wish(), quiet, quiet)


def test_what_fails_here_after_the_push_is_a_warning(shared, caplog, tmp_path):
    folder = shared.root / ".git/refs/tags"
    locks = [folder / "detector@v1.0.0.lock", folder / "detector#production#1.lock"]
    for lock in locks:
        lock.touch()
    assert run(shared).changed
    assert "origin has the tags, but this clone can not write them" in caplog.text
    assert shared.tags(shared.origin) == {"detector@v1.0.0", "detector#production#1"} and not shared.tags()
    assert served(shared, tmp_path)[0].version == "v1.0.0"
    for lock in locks:
        lock.unlink()
    assert not run(shared).changed  # the release file says what is read from names, too
    assert "detector@v1.0.0" in shared.tags()


def test_a_push_whose_answer_is_lost_is_looked_up(shared, monkeypatch):
    real, cut = Repository.run, []

    def lossy(repository, *arguments, **named):
        if cut and "gone" in cut and arguments[0] == "ls-remote":
            raise GitError(arguments, "no route to host")
        result = real(repository, *arguments, **named)
        if arguments[0] == "push" and cut:
            raise GitError(arguments, "the remote end hung up")
        return result

    monkeypatch.setattr(Repository, "run", lossy)
    cut.append("answer")
    assert run(shared).version == "v1.0.0" == shared.release()["version"]
    shared.train(score=0.8)
    with open_bench(shared.root) as bench:
        cut.append("gone")
        with pytest.raises(PromotionError, match=r"whether the tags are written is not known.*same command again"):
            promote(bench, Wish(), quiet, quiet)
    cut.clear()
    assert shared.release()["version"] == "v1.0.0"
    assert run(shared).version == "v1.1.0" == shared.release()["version"]


def test_a_remote_that_goes_away_after_the_push_leaves_it_to_reconcile(shared, monkeypatch):
    with open_bench(shared.root) as bench:
        real = bench.repository.run

        def away(*arguments, **named):
            if arguments[0] == "ls-remote":
                raise GitError(arguments, "no route to host")
            return real(*arguments, **named)

        monkeypatch.setattr(bench.repository, "run", away)
        with pytest.raises(IncompleteError, match=r"the tags are written.*pindet reconcile"):
            promote(bench, Wish(), quiet, quiet)


def test_lightweight_and_local_tags_do_not_count(shared):
    shared.git("tag", "detector@v1.0.0")
    shared.git("push", "-q", "origin", "detector@v1.0.0")
    shared.git("tag", "-a", "-m", "x", "detector@v3.0.0")
    assert run(shared).version == "v1.1.0"  # a number that is taken where all see it is not taken again
    with open_bench(shared.root) as bench:
        assert list(bench.truth.versions) == ["v1.1.0"]
        ignored = reconcile(bench, quiet).ignored
    assert "lightweight" in ignored["detector@v1.0.0"] and "not on origin" in ignored["detector@v3.0.0"]


@pytest.mark.parametrize("name", ["detector@v1.1.0", "detector#production#2", "detector#staging#2"])
@pytest.mark.parametrize("kind", [[], ["-a", "-m", "mine"]])
def test_numbers_that_a_clone_gave_away_for_itself_are_not_skipped_but_named(shared, name, kind):
    run(shared)
    shared.train(score=0.8)
    shared.git("tag", *kind, name)
    stage = "staging" if "staging" in name else "production"
    with pytest.raises(RefusedError, match=rf"{name} would be written.*not on origin.*git tag -d '{name}'"):
        run(shared, stage=stage)
    shared.git("tag", "-d", name)
    assert run(shared, stage=stage).version == "v1.1.0"


def test_a_rollback_does_not_skip_them_either(shared):
    for score in (0.9, 0.8):
        shared.train(score=score)
        run(shared)
    shared.git("tag", "-a", "-m", "mine", "detector#production#3")
    with pytest.raises(RefusedError, match=r"detector#production#3 would be written"):
        back(shared)
    assert not run(shared).changed  # which writes no tag


def test_tags_of_one_clone_alone_do_not_let_two_promotions_win(shared, clone):
    run(shared)
    shared.git("push", "-q", "origin", "main")
    other = clone(shared)
    for name in ("detector@v1.1.0", "detector#production#2"):
        other.git("tag", "-a", "-m", "mine", name)
    other.train(score=0.7)
    with pytest.raises(RefusedError, match=r"git tag -d 'detector@v1\.1\.0' 'detector#production#2'"):
        run(other)
    other.git("tag", "-d", "detector@v1.1.0", "detector#production#2")
    for name in ("detector@v1.2.0", "detector#production#3"):  # which it would come to if it counted its own
        other.git("tag", "-a", "-m", "mine", name)
    with open_bench(other.root) as slow:
        shared.train(score=0.8)
        run(shared)
        with pytest.raises(LostError):
            promote(slow, Wish(), quiet, quiet)
    assert shared.release()["version"] == "v1.1.0" and shared.release()["bundle_md5"] == shared.pinned()


def test_a_version_whose_name_another_tag_has_is_refused_with_what_to_do(shared):
    shared.git("tag", "detector@v2.0.0")
    shared.git("push", "-q", "origin", "detector@v2.0.0")
    shared.git("tag", "-a", "-m", "x", "detector@v3.0.0")
    for version, why in [("v2.0.0", "a lightweight tag detector@v2.0.0"), ("v3.0.0", "in this clone alone")]:
        with pytest.raises(RefusedError, match=rf"{why}.*git tag -d 'detector@{version}'"):
            run(shared, version=version)
    shared.git("tag", "-d", "detector@v2.0.0", "detector@v3.0.0")
    shared.git("push", "-q", "origin", ":refs/tags/detector@v2.0.0")
    assert run(shared, version="v2.0.0").version == "v2.0.0"
    gto.api.deregister(str(shared.root), "detector", version="v2.0.0", simple=True)
    shared.git("push", "-q", "origin", "--tags")
    with pytest.raises(RefusedError, match=r"v2\.0\.0 was registered once and taken back"):
        run(shared, version="v2.0.0")


def test_a_tag_that_differs_from_the_shared_one_is_named(shared, clone):
    other = clone(shared)
    other.git("tag", "-a", "-m", "mine", "detector@v1.0.0")
    run(shared)
    with pytest.raises(PromotionError, match=r"detector@v1\.0\.0 of this clone is not the one of origin"):
        run(other)


def test_rollback_goes_to_the_version_before_and_gto_agrees(project, tmp_path):
    run(project)
    first = project.pinned()
    project.train(score=0.8)
    run(project)
    with open_bench(project.root) as bench:
        assert rollback(bench, "production", quiet, quiet).version == "v1.0.0"
        assert bench.truth.placed("production").version == "v1.0.0"
    release, _ = served(project, tmp_path)
    assert (release.version, release.bundle_md5) == ("v1.0.0", first)
    stages = {
        each["version"]: [s["stage"] for s in each["stages"]] for each in gto.api.show(str(project.root), "detector")
    }
    assert stages["v1.0.0"] == ["production"]
    with open_bench(project.root) as bench:
        assert rollback(bench, "production", quiet, quiet, to="v1.1.0").version == "v1.1.0"
        with pytest.raises(PromotionError, match=r"there are: v1.0.0, v1.1.0"):
            rollback(bench, "production", quiet, quiet, to="v7.0.0")


def back(project, **arguments):
    """Roll back in this process; return the version and what was said."""
    said = []
    with open_bench(project.root) as bench:
        outcome = rollback(bench, "production", quiet, lambda name, _: said.append(name), **arguments)
    return outcome.version, " ".join(said)


def test_a_rollback_goes_to_nothing_but_what_the_stage_held(project):
    run(project)
    run(project, stage="staging")
    project.train(score=0.8, miss=range(6))
    run(project, stage="staging", override="a trial")
    with pytest.raises(PromotionError, match=r"did not hold v1\.1\.0 before; it held nothing else.*pindet promote"):
        back(project, to="v1.1.0")
    assert project.release()["version"] == "v1.0.0"


def test_a_card_of_another_bundle_is_written_again(project):
    path = project.remote / "releases/detector/v1.0.0.md"
    run(project)
    card = path.read_text()
    path.write_text(card.replace(project.pinned(), "0" * 32 + ".dir"))
    run(project)
    assert path.read_text() == card


def test_each_rollback_goes_further_back_and_none_forward(project):
    for score in (0.9, 0.8, 0.7):
        project.train(score=score)
        run(project)
    assert back(project)[0] == "v1.1.0"
    with open_bench(project.root) as bench:
        assert bench.truth.before("production") == ["v1.0.0", "v1.2.0"]  # what was rolled back comes last
    assert back(project)[0] == "v1.0.0"
    nothing = r"it holds v1\.0\.0, and there is nothing before it.*--to: v1\.1\.0, v1\.2\.0"
    with pytest.raises(PromotionError, match=nothing):
        back(project)
    project.train(score=0.6)
    assert run(project).version == "v1.3.0"
    assert back(project)[0] == "v1.0.0"
    assert back(project, to="v1.2.0")[0] == "v1.2.0" and back(project)[0] == "v1.0.0"


def test_a_rollback_that_was_cut_is_finished_before_another(project):
    for score in (0.9, 0.8, 0.7):
        project.train(score=score)
        run(project)
    assert "was cut" not in back(project)[1]
    (project.remote / "releases/detector/production.json").unlink()
    version, said = back(project)
    assert version == "v1.1.0" == project.release()["version"] and "to v1.1.0 was cut" in said
    assert back(project)[0] == "v1.0.0"


def test_what_drifts_after_a_rollback_does_not_make_it_a_cut_one(project):
    for score in (0.9, 0.8, 0.7):
        project.train(score=score)
        run(project)
    assert back(project)[0] == "v1.1.0"
    (project.remote / "releases/detector/v1.1.0.md").unlink()
    version, said = back(project)
    assert version == "v1.0.0" and "was cut" not in said


@pytest.mark.parametrize(
    "message", ["rollback", "x\n\nPindet-Action: rollback", "rollback\n\nPindet-Action: rollback\n"]
)
def test_a_promotion_whose_message_is_a_rollback_s_is_none(project, message):
    run(project)
    project.train(score=0.8)
    run(project, message=message)
    (project.remote / "releases/detector/production.json").unlink()
    version, said = back(project)
    assert version == "v1.0.0" and "was cut" not in said


def test_rollbacks_are_known_by_tags_of_earlier_times_too(project):
    """Then a rollback said so in the first line after the title, and nothing in the last."""
    for score in (0.9, 0.8):
        project.train(score=score)
        run(project)
    title = "detector v1.0.0 to production"
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_COMMITTER_DATE", moment)
        project.git("tag", "-a", "-m", f"{title}\n\nrollback\nsteel", "detector#production#3", "detector@v1.0.0^{}")
    with open_bench(project.root) as bench:
        assert bench.truth.placed("production").tag.goes_back and bench.truth.earlier("production") is None


def test_rollback_needs_the_bundle_alone(project):
    run(project)
    first = project.git("rev-parse", "HEAD")
    project.train(score=0.8, train_note="later")
    run(project)
    lost = project.pinned("data/prepared", first)
    for place in (None, project.remote):
        project.object(lost, place).unlink()
    assert back(project)[0] == "v1.0.0" == project.release()["version"]
    model = project.listing(project.pinned())["model.onnx"]
    for place in (None, project.remote):
        project.object(model, place).unlink()
    with open_bench(project.root) as bench, pytest.raises(RefusedError, match="closed: objects"):
        rollback(bench, "production", quiet, quiet, to="v1.1.0")


def test_a_rollback_uploads_nothing_but_what_the_bundle_lacks(project):
    run(project)
    first = project.git("rev-parse", "HEAD")
    project.train(score=0.8, train_note="later")
    run(project)
    others = [project.pinned(path, first) for path in ("data/prepared", "models/weights.safetensors")]
    model = project.listing(project.pinned(rev=first))["model.onnx"]
    for md5 in (*others, model):
        project.object(md5, project.remote).unlink()
    assert back(project)[0] == "v1.0.0" == project.release()["version"]
    assert project.object(model, project.remote).exists()
    assert not any(project.object(md5, project.remote).exists() for md5 in others)


def test_a_rollback_whose_evaluation_and_card_are_lost_is_served_and_its_card_has_no_measures(project, monkeypatch):
    run(project)
    first = project.git("rev-parse", "HEAD")
    project.train(score=0.8, miss=[0])
    run(project, override="a trial")
    lost = project.pinned("reports/evaluate", first)
    card = project.remote / "releases/detector/v1.0.0.md"
    for path in (card, project.object(lost), project.object(lost, project.remote)):
        path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Texts, "write", failing(Texts.write, ".md"))
        with pytest.raises(IncompleteError, match=r"not the model card of v1\.0\.0"):
            back(project)
    assert project.release()["version"] == "v1.0.0"  # servers do not wait for a card
    with open_bench(project.root) as bench:
        assert reconcile(bench, quiet).failed == []
    assert "None: reports/evaluate was deleted" in card.read_text("utf-8")


def failing(real, end):
    """A writer that fails for keys with such an end."""

    def write(texts, key, text):
        if key.endswith(end):
            raise OSError("no space")
        real(texts, key, text)

    return write


def test_a_first_model_that_finds_nothing_is_pointed_out(project):
    project.write("metrics.json", '{"test/map": 0.0}')
    project.lock()
    project.commit()
    said = {verdict.gate: verdict for verdict in run(project).verdicts}
    assert said["comparison"].judgement == "warned" and "finds nothing" in said["comparison"].reason


def test_rollback_without_an_earlier_version_says_so(project):
    with open_bench(project.root) as bench, pytest.raises(PromotionError, match="it holds nothing"):
        rollback(bench, "production", quiet, quiet)
    run(project)
    with open_bench(project.root) as bench, pytest.raises(PromotionError, match="only version"):
        rollback(bench, "production", quiet, quiet)


def test_reconcile_follows_tags_that_gto_wrote(project, tmp_path):
    run(project)
    project.train(score=0.8)
    run(project)
    second = int(project.git("tag", "--list", "--sort=-creatordate", "--format=%(creatordate:unix)").splitlines()[0])
    while time.time() <= second:  # GTO orders by whole seconds, and a second promotion takes the next one
        time.sleep(0.1)
    gto.api.unassign(str(project.root), "detector", version="v1.1.0", stage="production")
    with open_bench(project.root) as bench:
        assert reconcile(bench, quiet).stages == {"production": "v1.0.0"}
    assert served(project, tmp_path)[0].version == "v1.0.0"
    gto.api.unassign(str(project.root), "detector", version="v1.0.0", stage="production")
    with open_bench(project.root) as bench:
        assert reconcile(bench, quiet).stages == {"production": None}
    assert project.release() is None


def test_reconcile_mends_release_files_and_names_those_without_a_tag(project):
    run(project)
    path = project.remote / "releases/detector/production.json"
    good = path.read_text()
    for bad in ("{", good.replace("v1.0.0", "v9.0.0"), good.replace(project.git("rev-parse", "HEAD"), "0" * 40)):
        path.write_text(bad)
        assert "release file of production" in project.pindet("reconcile", "--check", status=3) + project.said
        with open_bench(project.root) as bench:
            reconcile(bench, quiet)
        assert path.read_text() == good
    (path.parent / "staging.json").write_text(good)
    with open_bench(project.root) as bench:
        assert reconcile(bench, quiet).untagged == ["staging"]


def test_remotes_can_be_chosen_and_wrong_ones_are_named(project):
    with (
        pytest.raises(PromotionError, match="there is no git remote 'upstream'"),
        open_bench(project.root, Access(git_remote="upstream")),
    ):
        pass
    with (
        pytest.raises(PromotionError, match="no DVC remote to work with"),
        open_bench(project.root, Access(dvc_remote="cloud")),
    ):
        pass
