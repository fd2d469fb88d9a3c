"""A remote in a folder that is not mounted: nothing is written where no server looks, and that is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import IncompleteError, PromotionError, RefusedError
from pindet.promotion.lineage.subject import find_subject
from pindet.promotion.lineage.walk import walk
from pindet.promotion.objects import Objects
from pindet.promotion.promote import Wish, promote
from pindet.promotion.release_file import release_key
from pindet.promotion.truth import Truth

SAID = {"gone": "is not there; is it mounted?", "empty": "holds no objects; is it mounted?"}


@pytest.fixture(params=["gone", "empty"])
def unmounted(project, request):
    """A project with v1.0.0 in production, whose remote is not mounted any more; the mount point is there or not."""
    project.promote()
    project.mounted = project.root.parent / "mounted"
    project.remote.rename(project.mounted)
    if request.param == "empty":
        (project.remote / "lost+found").mkdir(parents=True)
    project.expected = SAID[request.param]
    return project


def written(project):
    return [path for path in project.remote.rglob("*") if path.name != "lost+found"]


def test_no_command_makes_it_anew(unmounted):
    said = json.loads(unmounted.pindet("reconcile", "--json", status=5))
    assert unmounted.expected in said["failed"][0] and said["changed"] == []
    assert "run dvc push" not in said["failed"][0] and "?. " not in said["failed"][0]
    unmounted.train(score=0.95)
    assert unmounted.expected in unmounted.refusal()["objects"]
    said = json.loads(unmounted.pindet("rollback", "--to", "v1.0.0", "--json", status=3))
    assert unmounted.expected in said["verdicts"][0]["reason"]
    assert not written(unmounted) and len(unmounted.tags()) == 2
    if (unmounted.remote / "lost+found").is_dir():
        unmounted.remote.rename(unmounted.root.parent / "mount point")
    unmounted.mounted.rename(unmounted.remote)
    assert unmounted.promote().version == "v1.1.0"


def test_nothing_is_written_or_taken_for_missing(unmounted):
    with open_bench(unmounted.root) as bench:
        texts, md5 = bench.objects.texts, unmounted.pinned()
        for use in (
            lambda: texts.write("releases/detector/v9.md", "x"),
            lambda: texts.read(release_key("detector", "production")),
            lambda: texts.remove("releases/detector/v9.md"),
            lambda: texts.names("releases/detector"),
            lambda: bench.objects.upload([md5]),
            lambda: bench.objects.sizes([md5]),
        ):
            with pytest.raises(PromotionError) as error:
                use()
            assert unmounted.expected in str(error.value)
    assert not written(unmounted)


def test_status_does_not_know_whether_releases_are_in_line(unmounted):
    said = json.loads(unmounted.pindet("status", "--json", status=1))
    assert not said["drifts"] and said["out_of_line"] == []
    assert len(said["unknown"]) == 1 and "releases are in line" in said["unknown"][0]
    assert unmounted.expected in said["unknown"][0] and said["stages"][0]["version"] == "v1.0.0"


def test_a_lineage_does_not_know_what_the_remote_has(unmounted):
    with open_bench(unmounted.root) as bench:
        found = {link.about: link for link in walk(bench, find_subject(bench, "v1.0.0"))}
    assert {link.about for link in found.values() if link.state == "unknown"} == {
        "release", "bundle", "weights", "prepared data", "MLflow run",
    }  # fmt: skip
    assert unmounted.expected in found["release"].check and not [e for e in found.values() if e.state == "broken"]


def test_one_that_goes_away_after_the_tag_is_not_made_anew(project, monkeypatch):
    real = Objects.texts.fget

    def unmount(objects):
        if project.remote.exists():
            project.remote.rename(project.root.parent / "mounted")
        return real(objects)

    with open_bench(project.root) as bench:
        monkeypatch.setattr(Objects, "texts", property(unmount))
        with pytest.raises(IncompleteError, match=r"is not there; is it mounted\? When that is mended, run pindet rec"):
            promote(bench, Wish(), lambda *_: None, lambda *_: None)
    assert not project.remote.exists()


def test_one_that_does_not_answer_any_more_is_no_traceback(project, monkeypatch):
    project.promote()
    real = Path.is_dir

    def dead(path):
        if project.remote in (path, *path.parents):
            raise OSError(107, "Transport endpoint is not connected")
        return real(path)

    project.train(score=0.95)
    with open_bench(project.root) as bench:
        monkeypatch.setattr(Path, "is_dir", dead)
        with pytest.raises(RefusedError) as error:
            promote(bench, Wish(), lambda *_: None, lambda *_: None)
    reason = {verdict.gate: verdict.reason for verdict in error.value.outcome.verdicts}["objects"]
    assert "can not be read: [Errno 107] Transport endpoint is not connected" in reason


def test_a_new_remote_is_filled_first_and_reconciled(project):
    project.promote()
    other = project.root.parent / "other"
    for command in (["remote", "add", "--default", "other", str(other)], ["push", "-q", "--all-tags"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=project.root, check=True)
        if command[0] == "remote":
            other.mkdir()
            project.pindet("reconcile", status=5)
            assert "dvc push --all-tags" in project.said + project.pindet("reconcile", status=5)
            assert not list(other.iterdir())
    project.pindet("reconcile")
    assert json.loads((other / "releases/detector/production.json").read_text())["version"] == "v1.0.0"


def test_nothing_released_needs_no_remote(project):
    assert not project.remote.exists()
    with open_bench(project.root) as bench:
        assert bench.truth == Truth("detector", ()) and bench.objects.absence == ""
