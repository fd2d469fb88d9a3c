"""Tags: shared with the git remote, written at once, counted only where all see them."""

import json
import shlex
import subprocess
import sys

import gto.api
import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import IncompleteError, LostError, PromotionError, RefusedError
from pindet.promotion.promote import Wish, promote
from pindet.promotion.reconcile import reconcile
from pindet.promotion.repository import GitError, GitTimeoutError, Repository
from pindet.promotion.texts import Texts


def quiet(*_):
    pass


def test_a_shallow_clone_without_tags_learns_them(shared, clone):
    shared.promote()
    shared.train(score=0.8)
    shared.git("push", "-q", "origin", "main")
    other = clone(shared, "--depth=1", "--no-tags")
    assert not other.tags()
    subprocess.run(["cp", "-r", str(shared.root / ".dvc/cache"), str(other.root / ".dvc/cache")], check=True)
    assert other.promote().version == "v1.1.0"
    assert other.tags() == shared.tags(shared.origin)
    with pytest.raises(PromotionError, match="shallow: git fetch --unshallow"):
        other.promote(rev="main~5")


def test_of_two_promotions_at_once_one_wins_and_the_other_says_so(shared, clone):
    other = clone(shared)
    with open_bench(other.root) as slow:
        slow.repository.remote = "origin"
        other.train(score=0.8)
        shared.promote()  # between the other's look at the tags and its push
        with pytest.raises(LostError, match="another promotion was faster"):
            promote(slow, Wish(), quiet, quiet)
    assert shared.release()["bundle_md5"] == shared.pinned()
    assert other.tags() <= shared.tags(shared.origin) == {"detector@v1.0.0", "detector#production#1"}
    assert other.promote().version == "v1.1.0"  # and may try again


def test_the_slower_command_ends_with_status_4(shared, clone):
    """The faster one begins when git pushes the tags of the slower."""
    other = clone(shared)
    other.train(score=0.8)
    command = [sys.executable, "-c", "from pindet.cli import main; main()", "promote", "--no-mlflow"]
    hook = other.root / ".git/hooks/pre-push"
    hook.write_text(
        f"#!/bin/sh\nunset $(git rev-parse --local-env-vars)\ncd {shlex.quote(str(shared.root))} && "
        f"{shlex.join(command)} >&2\n"
    )
    hook.chmod(0o755)
    said = json.loads(other.pindet("promote", "--no-mlflow", "--json", status=4))
    assert said["exit_code"] == 4 and "another promotion was faster" in said["error"]
    assert shared.release()["bundle_md5"] == shared.pinned()
    assert shared.tags(shared.origin) == {"detector@v1.0.0", "detector#production#1"}


def test_of_two_that_write_the_release_file_the_later_tag_stays(shared, clone, monkeypatch):
    other = clone(shared)
    shared.promote()
    with open_bench(other.root) as slow:
        slow.refresh()
        real, done = Texts.write, []

        def overtaken(texts, key, text):
            if key.endswith(".json") and not done:
                done.append(key)
                shared.train(score=0.8)
                assert (
                    shared.promote().version == "v1.1.0"
                )  # tag and release file, while this one is about to write its own
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
        shared.promote()
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
    assert project.promote().version == "v1.0.0"


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
            shared.promote()

    with open_bench(other.root) as slow:
        monkeypatch.setattr(Repository, "run", held)
        with pytest.raises(LostError, match="another promotion was faster: detector@v1"):
            promote(slow, Wish(), quiet, quiet)
    assert shared.release()["bundle_md5"] == shared.pinned()


def test_names_that_are_taken_in_a_repository_without_a_remote_are_a_promotion_that_was_faster(project):
    with open_bench(project.root) as slow:
        project.promote()
        project.train(score=0.8)
        with pytest.raises(LostError, match="another promotion was faster"):
            promote(slow, Wish(), quiet, quiet)


def test_what_fails_here_after_the_push_is_a_warning(shared, caplog, tmp_path):
    folder = shared.root / ".git/refs/tags"
    locks = [folder / "detector@v1.0.0.lock", folder / "detector#production#1.lock"]
    for lock in locks:
        lock.touch()
    assert shared.promote().changed
    assert "origin has the tags, but this clone can not write them" in caplog.text
    assert shared.tags(shared.origin) == {"detector@v1.0.0", "detector#production#1"} and not shared.tags()
    assert shared.served(tmp_path)[0].version == "v1.0.0"
    for lock in locks:
        lock.unlink()
    assert not shared.promote().changed  # the release file says what is read from names, too
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
    assert shared.promote().version == "v1.0.0" == shared.release()["version"]
    shared.train(score=0.8)
    with open_bench(shared.root) as bench:
        cut.append("gone")
        with pytest.raises(PromotionError, match=r"whether the tags are written is not known.*same command again"):
            promote(bench, Wish(), quiet, quiet)
    cut.clear()
    assert shared.release()["version"] == "v1.0.0"
    assert shared.promote().version == "v1.1.0" == shared.release()["version"]


def test_a_push_that_gave_no_answer_in_time_may_still_arrive(shared, monkeypatch):
    real, late = Repository.run, []

    def slow(repository, *arguments, **named):
        if arguments[0] == "push":
            late.append(arguments)
            raise GitTimeoutError(arguments, "no answer in 120 s")
        return real(repository, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "run", slow)
        with pytest.raises(PromotionError, match=r"not known: git push gave no answer.*run pindet reconcile") as error:
            shared.promote()
    assert "nothing is released" not in str(error.value) and not shared.tags(shared.origin)
    shared.git(*late[0])
    with open_bench(shared.root) as bench:
        assert reconcile(bench, quiet).stages == {"production": "v1.0.0"}
    assert shared.release()["version"] == "v1.0.0" and not shared.promote().changed


def test_git_that_does_not_answer_in_time_is_ended(shared, monkeypatch):
    repository = Repository(shared.root)
    monkeypatch.setattr("pindet.promotion.repository.ANSWER_WITHIN", 0.3)
    with pytest.raises(GitTimeoutError, match="no answer in 0 s"):
        repository.run("-c", "alias.slow=!sleep 2", "slow")


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
    assert shared.promote().version == "v1.1.0"  # a number that is taken where all see it is not taken again
    with open_bench(shared.root) as bench:
        assert list(bench.truth.versions) == ["v1.1.0"]
        ignored = reconcile(bench, quiet).ignored
    assert "lightweight" in ignored["detector@v1.0.0"] and "not on origin" in ignored["detector@v3.0.0"]


@pytest.mark.parametrize("name", ["detector@v1.1.0", "detector#production#2", "detector#staging#2"])
@pytest.mark.parametrize("kind", [[], ["-a", "-m", "mine"]])
def test_numbers_that_a_clone_gave_away_for_itself_are_not_skipped_but_named(shared, name, kind):
    shared.promote()
    shared.train(score=0.8)
    shared.git("tag", *kind, name)
    stage = "staging" if "staging" in name else "production"
    with pytest.raises(RefusedError, match=rf"{name} would be written.*not on origin.*git tag -d '{name}'"):
        shared.promote(stage=stage)
    shared.git("tag", "-d", name)
    assert shared.promote(stage=stage).version == "v1.1.0"


def test_tags_of_one_clone_alone_do_not_let_two_promotions_win(shared, clone):
    shared.promote()
    shared.git("push", "-q", "origin", "main")
    other = clone(shared)
    for name in ("detector@v1.1.0", "detector#production#2"):
        other.git("tag", "-a", "-m", "mine", name)
    other.train(score=0.7)
    with pytest.raises(RefusedError, match=r"git tag -d 'detector@v1\.1\.0' 'detector#production#2'"):
        other.promote()
    other.git("tag", "-d", "detector@v1.1.0", "detector#production#2")
    for name in ("detector@v1.2.0", "detector#production#3"):  # which it would come to if it counted its own
        other.git("tag", "-a", "-m", "mine", name)
    with open_bench(other.root) as slow:
        shared.train(score=0.8)
        shared.promote()
        with pytest.raises(LostError):
            promote(slow, Wish(), quiet, quiet)
    assert shared.release()["version"] == "v1.1.0" and shared.release()["bundle_md5"] == shared.pinned()


def test_a_version_whose_name_another_tag_has_is_refused_with_what_to_do(shared):
    shared.git("tag", "detector@v2.0.0")
    shared.git("push", "-q", "origin", "detector@v2.0.0")
    shared.git("tag", "-a", "-m", "x", "detector@v3.0.0")
    for version, why in [("v2.0.0", "a lightweight tag detector@v2.0.0"), ("v3.0.0", "in this clone alone")]:
        with pytest.raises(RefusedError, match=rf"{why}.*git tag -d 'detector@{version}'"):
            shared.promote(version=version)
    shared.git("tag", "-d", "detector@v2.0.0", "detector@v3.0.0")
    shared.git("push", "-q", "origin", ":refs/tags/detector@v2.0.0")
    assert shared.promote(version="v2.0.0").version == "v2.0.0"
    gto.api.deregister(str(shared.root), "detector", version="v2.0.0", simple=True)
    shared.git("push", "-q", "origin", "--tags")
    with pytest.raises(RefusedError, match=r"v2\.0\.0 was registered once and taken back"):
        shared.promote(version="v2.0.0")


def test_a_tag_that_differs_from_the_shared_one_is_named(shared, clone):
    other = clone(shared)
    other.git("tag", "-a", "-m", "mine", "detector@v1.0.0")
    shared.promote()
    with pytest.raises(PromotionError, match=r"detector@v1\.0\.0 of this clone is not the one of origin"):
        other.promote()
