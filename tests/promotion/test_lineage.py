"""The walk back, and forward again."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from pindet.promotion.bench import Access, open_bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.lineage.link import State
from pindet.promotion.lineage.reproduce import reproduce
from pindet.promotion.lineage.subject import find_subject
from pindet.promotion.lineage.walk import walk
from pindet.promotion.repository import GitError, Repository
from pindet.promotion.revision import workspace_revision


def quiet(*_):
    pass


@pytest.fixture
def released(project):
    project.promote()
    return project


def states(project, subject, **options):
    with open_bench(project.root) as bench:
        return {link.about: link.state for link in walk(bench, find_subject(bench, subject), **options)}


def answer(project, version, md5):
    content = {"model": {"name": "detector", "version": version, "md5": md5}, "images": []}
    path = project.root / ".pindet/answer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def test_a_workspace_with_another_bundle_than_its_commit_is_no_version(released):
    assert states(released, "workspace")["version"] is State.holds
    released.train(score=0.5)
    lock = (released.root / "dvc.lock").read_bytes()
    released.git("checkout", "--quiet", "--detach", "detector@v1.0.0")
    (released.root / "dvc.lock").write_bytes(lock)
    found = states(released, "workspace")
    assert found["version"] is State.unknown and "release" not in found


def test_every_name_of_a_release_leads_to_the_same_walk(released):
    md5 = released.pinned()
    expected = states(released, "v1.0.0")
    assert set(expected.values()) == {State.holds, State.unknown}
    assert [about for about, state in expected.items() if state is State.unknown] == ["MLflow run"]
    for subject in ("production", "champion", "HEAD", md5, md5[:12], released.pinned("data/prepared")):
        assert states(released, subject) == expected
    assert states(released, answer(released, "v1.0.0", md5)) == {"answer": State.holds, **expected}


def test_the_command_says_it_and_its_status_tells(released):
    assert "bundle" in released.pindet("lineage", "v1.0.0")
    weights = released.object(released.pinned("models/weights.safetensors"))
    weights.write_text("other")
    released.object(weights.parent.name + weights.name, released.remote).unlink()
    said = json.loads(released.pindet("lineage", "v1.0.0", "--json", status=3))
    assert [link["about"] for link in said["links"] if link["state"] == "broken"] == ["weights"]


def test_an_answer_that_names_another_bundle_than_its_version_is_broken(released):
    first = released.pinned()
    released.train(score=0.8)
    released.promote()
    assert states(released, answer(released, "v1.1.0", first))["answer"] is State.broken
    assert states(released, answer(released, "v9.9.9", first))["version"] is State.broken


def test_a_commit_whose_lock_describes_other_code_is_broken(released):
    released.write("src/model.py", "WIDTH = 1\n")
    released.commit()
    assert states(released, "HEAD")["commit"] is State.broken
    released.git("revert", "--no-edit", "HEAD")
    assert states(released, "HEAD")["commit"] is State.holds
    released.write("dvc.yaml", (released.root / "dvc.yaml").read_text().replace("cmd: train,", "cmd: other,"))
    released.commit()
    assert "the command of train" in broken(released, "HEAD")["commit"]


def test_what_names_nothing_is_refused_with_what_would(released):
    with open_bench(released.root) as bench:
        with pytest.raises(PromotionError, match="no commit of this clone pins 0123456789abcdef"):
            find_subject(bench, "0123456789abcdef")
        with pytest.raises(PromotionError, match=r"can be asked of workspace.*an md5"):
            find_subject(bench, "nonsense")
        with pytest.raises(PromotionError, match=r"^the file nofile\.json is not there; .*can be asked of workspace"):
            find_subject(bench, "nofile.json")
        path = released.root / "other.json"
        for content, said in (("[]", "names no model by version and md5"), ("{", "is no JSON")):
            path.write_text(content)
            with pytest.raises(PromotionError, match=said):
                find_subject(bench, str(path))


def test_an_answer_may_have_any_name_and_an_md5_may_be_short(released):
    md5 = released.pinned()
    plain = released.root / "answer"
    plain.write_text(json.dumps({"version": "v1.0.0", "md5": md5}))
    with open_bench(released.root) as bench:
        assert find_subject(bench, str(plain)).version == "v1.0.0"
        assert "is models/bundle of v1.0.0" in find_subject(bench, md5[:6]).said


def broken(project, subject="v1.0.0"):
    with open_bench(project.root) as bench:
        links = walk(bench, find_subject(bench, subject))
        return {link.about: link.check for link in links if link.state is State.broken}


def test_a_release_file_that_names_the_version_and_serves_another_bundle_is_broken(released):
    path, first = released.remote / "releases/detector/production.json", released.pinned()
    old = json.loads(path.read_text())
    released.train(score=0.8)
    released.promote()
    new = json.loads(path.read_text())
    path.write_text(json.dumps(new | {key: old[key] for key in ("bundle_md5", "files")}))
    said = broken(released, "v1.1.0")
    assert said.keys() == {"release"} and f"v1.1.0 with bundle {first}" in said["release"]
    path.write_text(json.dumps(new | {"git_commit": old["git_commit"]}))
    assert "pindet reconcile" in broken(released, "v1.1.0")["release"]


def test_a_bundle_that_only_the_cache_has_intact_is_broken_once_it_is_released(released):
    md5 = released.pinned()
    victim = released.object(released.listing(md5)["model.onnx"], released.remote)
    content = victim.read_bytes()
    victim.write_bytes(content[::-1])
    assert "no server can load it" in broken(released)["bundle"]
    victim.unlink()
    assert "is missing in the DVC remote" in broken(released)["bundle"]
    assert released.object(released.listing(md5)["model.onnx"]).is_file()
    released.train(score=0.8)  # not pushed, not released: nobody loads it from the remote
    assert states(released, "HEAD")["bundle"] is State.holds


def test_weights_and_prepared_data_of_a_release_are_kept_where_others_take_them_from(released):
    weights = released.object(released.pinned("models/weights.safetensors"), released.remote)
    content = weights.read_bytes()
    weights.write_bytes(content[::-1])  # as long as before: only reading it tells
    assert states(released, "v1.0.0")["weights"] is State.holds
    said = json.loads(released.pindet("lineage", "v1.0.0", "--thorough", "--json", status=3))
    (wrong,) = [link for link in said["links"] if link["state"] == "broken"]
    assert wrong["about"] == "weights" and "it is damaged" in wrong["check"]
    weights.unlink()
    assert "1 of 1 objects are missing" in broken(released)["weights"]
    weights.write_bytes(content)
    listing = released.object(released.pinned("data/prepared"), released.remote)
    listing.rename(listing.with_suffix(".away"))
    assert "dvc push brings them" in broken(released)["prepared data"]
    released.train(score=0.8)  # not released: the remote need not have it
    assert states(released, "HEAD")["weights"] is State.holds


def test_an_answer_without_a_whole_md5_is_refused(released):
    for md5 in ("", released.pinned()[:8], "None"):
        with open_bench(released.root) as bench, pytest.raises(PromotionError, match="32 hexadecimal digits"):
            find_subject(bench, answer(released, "v1.0.0", md5))


def test_a_stage_key_that_the_commit_does_not_give_is_broken(released):
    assert states(released, "HEAD")["stage key"] is State.holds
    released.write("dvc.yaml", (released.root / "dvc.yaml").read_text().replace("cmd: train,", "cmd: other,"))
    released.commit()
    assert states(released, "HEAD")["stage key"] is State.broken
    released.write("dvc.yaml", (released.root / "dvc.yaml").read_text().replace("cmd: other,", "cmd: train,"))
    released.write("dvc.yaml", (released.root / "dvc.yaml").read_text().replace("[data/prepared, ", "[../away, "))
    released.commit()
    assert states(released, "HEAD")["stage key"] is State.unknown


def test_the_parameters_are_shown_with_what_differs_from_the_defaults(released):
    released.write("conf/config.yaml", "tracking: {enabled: false}\ntraining: {lr: 0.02, epochs: 3}\n")
    released.write(
        "params.yaml", yaml.safe_dump({"tracking": {"enabled": False}, "training": {"lr": 0.01, "epochs": 3}})
    )
    commit = released.commit()
    said = released.pindet("lineage", "HEAD", "--json", status=0)
    content = json.loads(said)
    (link,) = [link for link in content["links"] if link["about"] == "parameters"]
    assert link["state"] == "holds" and link["found"] == f"training.lr=0.01; all 3: git show {commit[:10]}:params.yaml"
    assert content["parameters"] == {"tracking.enabled": "false", "training.lr": "0.01", "training.epochs": "3"}
    assert "training.lr=0.01; all 3: git show" in released.pindet("lineage", "HEAD")
    released.write(
        "params.yaml", yaml.safe_dump({"tracking": {"enabled": False}, "training": {"lr": 0.02, "epochs": 3}})
    )
    content = json.loads(released.pindet("lineage", "--json"))
    (link,) = [link for link in content["links"] if link["about"] == "parameters"]
    assert link["found"].startswith("as conf/ composes them") and link["state"] == "unknown"
    released.commit()
    assert broken(released, "HEAD")["parameters"] == "the stages of dvc.lock ran with another params.yaml:training"


def test_raw_data_are_looked_for_where_dvc_should_keep_them(released):
    released.write("raw/a.txt", "a")
    released.write("raw/b.txt", "b")
    md5 = released.keep(released.root / "raw")
    released.write("raw.dvc", yaml.safe_dump({"outs": [{"path": "raw", "hash": "md5", "md5": md5}]}))
    released.write(".gitignore", (released.root / ".gitignore").read_text() + "/raw\n")
    params = yaml.safe_load((released.root / "params.yaml").read_text())
    released.write("params.yaml", yaml.safe_dump(params | {"data": {"root": "raw"}}))
    released.commit()
    assert states(released, "HEAD")["raw source"] is State.holds
    (b,) = [each for name, each in released.listing(md5).items() if name == "b.txt"]
    kept = released.object(b, released.remote)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(released.object(b), kept)
    assert states(released, "HEAD")["raw source"] is State.unknown  # the remote lists it
    assert states(released, "HEAD", thorough=True)["raw source"] is State.holds
    kept.write_text("B")
    assert states(released, "HEAD", thorough=True)["raw source"] is State.broken
    kept.unlink()
    assert "1 of 2 objects are missing" in broken(released, "HEAD")["raw source"]
    released.object(md5).unlink()
    assert "is missing here and in" in broken(released, "HEAD")["raw source"]


@pytest.fixture
def runnable(project):
    """A project whose pipeline really runs: one stage that writes a bundle's file."""
    code = "import os, pathlib, sys\nassert 'REDIS_URL' not in os.environ\n"
    code += "pathlib.Path('models/bundle').mkdir(parents=True)\n"
    code += "pathlib.Path('models/bundle/model.txt').write_text(pathlib.Path('data/raw.txt').read_text() * 2)\n"
    project.write("src/model.py", code)
    stage = {
        "cmd": f"{sys.executable} src/model.py",
        "deps": ["src/model.py", "data/raw.txt"],
        "outs": ["models/bundle"],
    }
    project.write("dvc.yaml", yaml.safe_dump({"stages": {"export": stage}}))
    project.git("rm", "-q", "--cached", "dvc.lock", "metrics.json")
    for path in ("dvc.lock", "metrics.json", ".gitignore"):
        (project.root / path).unlink()
    project.write(".gitignore", "/models/\n/.pindet/\n")
    project.write("data/raw.txt", "raw\n")
    shutil.rmtree(project.root / "models")
    for command in (["add", "-q", "data/raw.txt"], ["repro", "-q"], ["push", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=project.root, check=True)
    project.commit()
    return project


def test_reproduction_runs_the_commit_s_pipeline_and_compares(runnable):
    with open_bench(runnable.root) as bench:
        result = reproduce(bench, bench.revision("HEAD"), quiet)
        assert result.is_same and result.different == []
        with pytest.raises(PromotionError, match="the workspace can not be reproduced"):
            reproduce(bench, workspace_revision(bench.repository), quiet)
    # The pin of a bundle that this code does not make.
    lock = yaml.safe_load((runnable.root / "dvc.lock").read_text())
    lock["stages"]["export"]["outs"][0]["md5"] = "0" * 32 + ".dir"
    runnable.write("dvc.lock", yaml.safe_dump(lock))
    runnable.commit()
    with open_bench(runnable.root) as bench:
        result = reproduce(bench, bench.revision("HEAD"), quiet)
    assert not result.is_same and result.different == ["models/bundle"]


def test_a_reproduction_is_announced_to_nobody(runnable, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    with open_bench(runnable.root) as bench:
        assert reproduce(bench, bench.revision("HEAD"), quiet).is_same


def test_a_reproduction_takes_raw_data_from_the_remote_that_is_named(runnable):
    for command in (["remote", "add", "-q", "other", "../other"], ["push", "-q", "--remote", "other"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=runnable.root, check=True)
    runnable.commit()
    shutil.rmtree(runnable.remote)
    with open_bench(runnable.root, Access(dvc_remote="other")) as bench:
        assert reproduce(bench, bench.revision("HEAD"), quiet).is_same


def test_an_experiment_is_reproduced_in_a_shallow_clone(runnable, clone, monkeypatch):
    runnable.origin = runnable.root
    runnable.git("checkout", "-q", "--detach")
    lucky = runnable.commit("lucky")
    runnable.git("update-ref", "refs/exps/aa/bb/lucky", lucky)
    runnable.git("checkout", "-q", "main")
    shallow = clone(runnable, "--depth=1", "--no-tags")
    shallow.git("fetch", "-q", "--depth=1", "origin", "refs/exps/aa/bb/lucky:refs/exps/aa/bb/lucky")
    with open_bench(shallow.root) as bench:
        assert reproduce(bench, bench.revision("lucky"), quiet).is_same
        run = Repository.run

        def refused(self, *arguments, **others):
            if arguments[0] == "fetch":
                raise GitError(arguments, "not our ref")
            return run(self, *arguments, **others)

        monkeypatch.setattr(Repository, "run", refused)
        with pytest.raises(PromotionError, match="is shallow: git fetch --unshallow"):
            reproduce(bench, bench.revision("lucky"), quiet)
