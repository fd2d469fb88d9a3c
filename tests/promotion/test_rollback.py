"""Back to what a stage held before: one version further each time, and nothing but the bundle is needed."""

import time

import gto.api
import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import IncompleteError, PromotionError, RefusedError
from pindet.promotion.reconcile import reconcile
from pindet.promotion.revision import Revision
from pindet.promotion.rollback import rollback
from pindet.promotion.texts import Texts


def quiet(*_):
    pass


def test_a_rollback_whose_release_file_can_not_be_made_tags_nothing(project, monkeypatch):
    project.promote()
    project.train(score=0.8)
    project.promote()
    with monkeypatch.context() as patch:
        patch.setattr(Revision, "metrics", property(lambda _: {"test/map": float("nan")}))
        with pytest.raises(RefusedError, match="not rolled back; closed: release"):
            project.roll_back()
    assert project.roll_back()[0] == "v1.0.0"


def test_a_rollback_does_not_skip_them_either(shared):
    for score in (0.9, 0.8):
        shared.train(score=score)
        shared.promote()
    shared.git("tag", "-a", "-m", "mine", "detector#production#3")
    with pytest.raises(RefusedError, match=r"detector#production#3 would be written"):
        shared.roll_back()
    assert not shared.promote().changed  # which writes no tag


def test_rollback_goes_to_the_version_before_and_gto_agrees(project, tmp_path):
    project.promote()
    first = project.pinned()
    project.train(score=0.8)
    project.promote()
    with open_bench(project.root) as bench:
        assert rollback(bench, "production", quiet, quiet).version == "v1.0.0"
        assert bench.truth.placed("production").version == "v1.0.0"
    release, _ = project.served(tmp_path)
    assert (release.version, release.bundle_md5) == ("v1.0.0", first)
    stages = {
        each["version"]: [s["stage"] for s in each["stages"]] for each in gto.api.show(str(project.root), "detector")
    }
    assert stages["v1.0.0"] == ["production"]
    with open_bench(project.root) as bench:
        assert rollback(bench, "production", quiet, quiet, to="v1.1.0").version == "v1.1.0"
        with pytest.raises(PromotionError, match=r"there are: v1.0.0, v1.1.0"):
            rollback(bench, "production", quiet, quiet, to="v7.0.0")


def test_a_rollback_goes_to_nothing_but_what_the_stage_held(project):
    project.promote()
    project.promote(stage="staging")
    project.train(score=0.8, miss=range(6))
    project.promote(stage="staging", override="a trial")
    with pytest.raises(PromotionError, match=r"did not hold v1\.1\.0 before; it held nothing else.*pindet promote"):
        project.roll_back(to="v1.1.0")
    assert project.release()["version"] == "v1.0.0"


def test_each_rollback_goes_further_back_and_none_forward(project):
    for score in (0.9, 0.8, 0.7):
        project.train(score=score)
        project.promote()
    assert project.roll_back()[0] == "v1.1.0"
    with open_bench(project.root) as bench:
        assert bench.truth.before("production") == ["v1.0.0", "v1.2.0"]  # what was rolled back comes last
    assert project.roll_back()[0] == "v1.0.0"
    nothing = r"it holds v1\.0\.0, and there is nothing before it.*--to: v1\.1\.0, v1\.2\.0"
    with pytest.raises(PromotionError, match=nothing):
        project.roll_back()
    project.train(score=0.6)
    assert project.promote().version == "v1.3.0"
    assert project.roll_back()[0] == "v1.0.0"
    assert project.roll_back(to="v1.2.0")[0] == "v1.2.0" and project.roll_back()[0] == "v1.0.0"


def test_a_rollback_that_was_cut_is_finished_before_another(project):
    for score in (0.9, 0.8, 0.7):
        project.train(score=score)
        project.promote()
    assert "was cut" not in project.roll_back()[1]
    (project.remote / "releases/detector/production.json").unlink()
    version, said = project.roll_back()
    assert version == "v1.1.0" == project.release()["version"] and "to v1.1.0 was cut" in said
    assert project.roll_back()[0] == "v1.0.0"


def test_what_drifts_after_a_rollback_does_not_make_it_a_cut_one(project):
    for score in (0.9, 0.8, 0.7):
        project.train(score=score)
        project.promote()
    assert project.roll_back()[0] == "v1.1.0"
    (project.remote / "releases/detector/v1.1.0.md").unlink()
    version, said = project.roll_back()
    assert version == "v1.0.0" and "was cut" not in said


@pytest.mark.parametrize(
    "message", ["rollback", "x\n\nPindet-Action: rollback", "rollback\n\nPindet-Action: rollback\n"]
)
def test_a_promotion_whose_message_is_a_rollback_s_is_none(project, message):
    project.promote()
    project.train(score=0.8)
    project.promote(message=message)
    (project.remote / "releases/detector/production.json").unlink()
    version, said = project.roll_back()
    assert version == "v1.0.0" and "was cut" not in said


def test_rollbacks_are_known_by_tags_of_earlier_times_too(project):
    """Then a rollback said so in the first line after the title, and nothing in the last."""
    for score in (0.9, 0.8):
        project.train(score=score)
        project.promote()
    title = "detector v1.0.0 to production"
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_COMMITTER_DATE", moment)
        project.git("tag", "-a", "-m", f"{title}\n\nrollback\nsteel", "detector#production#3", "detector@v1.0.0^{}")
    with open_bench(project.root) as bench:
        assert bench.truth.placed("production").tag.goes_back and bench.truth.earlier("production") is None


def test_rollback_needs_the_bundle_alone(project):
    project.promote()
    first = project.git("rev-parse", "HEAD")
    project.train(score=0.8, train_note="later")
    project.promote()
    lost = project.pinned("data/prepared", first)
    for place in (None, project.remote):
        project.object(lost, place).unlink()
    assert project.roll_back()[0] == "v1.0.0" == project.release()["version"]
    model = project.listing(project.pinned())["model.onnx"]
    for place in (None, project.remote):
        project.object(model, place).unlink()
    with open_bench(project.root) as bench, pytest.raises(RefusedError, match="closed: objects"):
        rollback(bench, "production", quiet, quiet, to="v1.1.0")


def test_a_rollback_uploads_nothing_but_what_the_bundle_lacks(project):
    project.promote()
    first = project.git("rev-parse", "HEAD")
    project.train(score=0.8, train_note="later")
    project.promote()
    others = [project.pinned(path, first) for path in ("data/prepared", "models/weights.safetensors")]
    model = project.listing(project.pinned(rev=first))["model.onnx"]
    for md5 in (*others, model):
        project.object(md5, project.remote).unlink()
    assert project.roll_back()[0] == "v1.0.0" == project.release()["version"]
    assert project.object(model, project.remote).exists()
    assert not any(project.object(md5, project.remote).exists() for md5 in others)


def test_a_rollback_whose_evaluation_and_card_are_lost_is_served_and_its_card_has_no_measures(project, monkeypatch):
    project.promote()
    first = project.git("rev-parse", "HEAD")
    project.train(score=0.8, miss=[0])
    project.promote(override="a trial")
    lost = project.pinned("reports/evaluate", first)
    card = project.remote / "releases/detector/v1.0.0.md"
    for path in (card, project.object(lost), project.object(lost, project.remote)):
        path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Texts, "write", failing(Texts.write, ".md"))
        with pytest.raises(IncompleteError, match=r"not the model card of v1\.0\.0"):
            project.roll_back()
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


def test_rollback_without_an_earlier_version_says_so(project):
    with open_bench(project.root) as bench, pytest.raises(PromotionError, match="it holds nothing"):
        rollback(bench, "production", quiet, quiet)
    project.promote()
    with open_bench(project.root) as bench, pytest.raises(PromotionError, match="only version"):
        rollback(bench, "production", quiet, quiet)
