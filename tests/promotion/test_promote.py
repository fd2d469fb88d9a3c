"""Promoting: gates, effects, and what a server makes of the release."""

import json
import os
import re
import time
from pathlib import Path

import gto.api
import pytest
import typer

from pindet.cli import app
from pindet.promotion.bench import Access, open_bench
from pindet.promotion.commands.options import complete_commits, complete_revs
from pindet.promotion.errors import PromotionError
from pindet.promotion.reconcile import reconcile
from pindet.promotion.versions import Bump


def quiet(*_):
    pass


def test_a_first_promotion_is_what_a_server_loads(project, tmp_path):
    assert "production is detector v1.0.0" in project.pindet("promote", "-m", "first light")
    assert re.search(r"uploading to .*remote: (\d+) of \1\n", project.said)
    release, detector = project.served(tmp_path)
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


def test_a_release_file_is_on_the_disk_before_it_takes_its_place(project, monkeypatch):
    project.promote()
    folder, seen = project.remote / "releases/detector", []

    def synced(descriptor):
        seen.append((Path(f"/proc/self/fd/{descriptor}").resolve(), (folder / "x.md").exists()))

    monkeypatch.setattr(os, "fsync", synced)
    with open_bench(project.root) as bench:
        bench.objects.texts.write("releases/detector/x.md", "new")
    (new, was_there), (place, is_there) = seen
    assert (new.parent, place) == (folder, folder) and not was_there and is_there
    assert {path.name for path in folder.iterdir()} == {"production.json", "v1.0.0.md", "x.md"}


def test_a_second_promotion_of_the_same_changes_nothing(project):
    assert project.promote().changed
    before = {path: path.stat().st_mtime_ns for path in project.remote.rglob("*")}
    assert not project.promote().changed
    assert {path: path.stat().st_mtime_ns for path in project.remote.rglob("*")} == before


def test_what_is_not_committed_is_not_promoted_unless_a_revision_is_named(project):
    project.write("notes.txt", "x")
    assert "notes.txt" in project.refusal()["clean tree"]
    assert project.promote(rev="main").version == "v1.0.0"


def test_the_workspace_is_committed_before_it_is_promoted(project, monkeypatch):
    project.write("models/weights.safetensors", "others")
    project.lock()
    with pytest.raises(PromotionError, match=r"'workspace', which is no commit.*commit dvc\.lock.*without --rev"):
        project.promote(rev="workspace")
    assert not project.tags() and not project.remote.exists()
    monkeypatch.chdir(project.root)
    assert "workspace" in complete_revs("") and "main" in complete_commits("ma")
    assert "workspace" not in complete_commits("")
    option = next(each for each in typer.main.get_command(app).commands["promote"].params if each.name == "rev")
    assert "workspace" not in {each.value for each in option.shell_complete(None, "")}


def test_branches_commits_and_experiments_can_be_promoted(project):
    first = project.git("rev-parse", "HEAD")
    experiment = project.train(score=0.8)
    project.git("update-ref", f"refs/exps/{first[:2]}/{first[2:]}/brave-one", experiment)
    project.git("reset", "-q", "--hard", first)
    assert project.promote(rev="brave-one").commit == experiment
    assert project.git("rev-parse", "detector@v1.0.0^{commit}") == experiment
    for rev in ("brave*", "br?ve-one", "*"):
        with pytest.raises(PromotionError, match="is no commit, branch, tag, experiment or version here"):
            project.promote(rev=rev)
    for option in ("--rev", "--override-comparison"):
        project.pindet("promote", option, " ", status=2)
        assert "it is empty; give one" in project.said
    project.pindet("lineage", "", status=1)
    assert "the name of a revision is empty" in project.said
    assert project.promote(rev=first, bump=Bump.major).version == "v2.0.0"
    with pytest.raises(PromotionError, match=r"'nothing' is no commit.*dvc exp pull"):
        project.promote(rev="nothing")


def test_a_stage_and_a_branch_of_the_same_name_are_told_apart(project):
    project.promote()
    project.git("branch", "production")
    assert project.promote(rev="production").version == "v1.0.0"
    project.train(score=0.8)
    project.git("branch", "--force", "production")
    with pytest.raises(PromotionError, match=r"is a stage, which holds v1\.0\.0, and something else in git"):
        project.promote(rev="production")


def test_a_card_of_another_bundle_is_written_again(project):
    path = project.remote / "releases/detector/v1.0.0.md"
    project.promote()
    card = path.read_text()
    path.write_text(card.replace(project.pinned(), "0" * 32 + ".dir"))
    project.promote()
    assert path.read_text() == card


def test_reconcile_follows_tags_that_gto_wrote(project, tmp_path):
    project.promote()
    project.train(score=0.8)
    project.promote()
    second = int(project.git("tag", "--list", "--sort=-creatordate", "--format=%(creatordate:unix)").splitlines()[0])
    while time.time() <= second:  # GTO orders by whole seconds, and a second promotion takes the next one
        time.sleep(0.1)
    gto.api.unassign(str(project.root), "detector", version="v1.1.0", stage="production")
    with open_bench(project.root) as bench:
        assert reconcile(bench, quiet).stages == {"production": "v1.0.0"}
    assert project.served(tmp_path)[0].version == "v1.0.0"
    gto.api.unassign(str(project.root), "detector", version="v1.0.0", stage="production")
    with open_bench(project.root) as bench:
        assert reconcile(bench, quiet).stages == {"production": None}
    assert project.release() is None


def test_reconcile_mends_release_files_and_names_those_without_a_tag(project):
    project.promote()
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
