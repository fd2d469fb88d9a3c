"""A promotion that is cut anywhere: nothing untagged is served, and the next command finishes it.

Real servers: S3, MLflow, and a bare git repository. Whatever changes anything is counted, and the process is cut
before and after each.
"""

import contextlib
import importlib.util
import random
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest
from pindet_serve.golden import load_proven
from pindet_serve.serving.sources import open_source
from pindet_serve.serving.store import Store

from pindet.promotion.bench import open_bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.promote import Wish, promote
from pindet.promotion.reconcile import reconcile
from pindet.promotion.rollback import rollback
from pindet.tracking.registry import ModelRegistry

CHILD = Path(__file__).with_name("cut.py")
_spec = importlib.util.spec_from_file_location("cut", CHILD)
_cut = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cut)
Cut, cutting = _cut.Cut, _cut.cutting
POINTS = ["upload first", "upload last", "mktag", "push", "model", "model version", "alias", "release", "card"]
"""In the order in which a promotion comes to them."""


class Site:
    """A shared project whose objects go to S3 and whose versions go to MLflow."""

    def __init__(self, project, s3, bucket, mlflow):
        self.project, self.s3, self.mlflow = project, s3, mlflow
        prefix = uuid.uuid4().hex[:8]
        self.address, self.model = f"s3://{bucket}/{prefix}", f"detector-{prefix}"
        (project.root / ".dvc/config.local").write_text(
            f"['remote \"store\"']\n    url = {self.address}\n    endpointurl = {s3.endpoint}\n"
        )
        project.write("promotion.yaml", f"resamples: 200\nartifact: {self.model}\n")
        params = (project.root / "params.yaml").read_text().replace("enabled: false", "enabled: true")
        project.write("params.yaml", params)
        project.commit("settings")

    def served(self, folder):
        """What a server would load, proven; None when there is no release."""
        try:
            source = open_source(f"{self.address}/releases/{self.model}/production.json")
            release = source.pinned()
        except ValueError:
            return None
        load_proven(Store(folder).bundle(release, source.fetch))
        return release

    def tagged(self):
        """Tags of the shared repository and their commits."""
        listed = subprocess.check_output(
            ["git", "for-each-ref", "--format=%(refname:lstrip=2) %(*objectname)", "refs/tags"],
            cwd=self.project.origin, text=True,
        )  # fmt: skip
        return dict(line.split(" ") for line in listed.splitlines())

    def champion(self):
        """The released version behind MLflow's alias."""
        registry = ModelRegistry(self.project.root)
        number = registry.aliases(self.model).get("champion")
        if not number:
            return None
        told = registry._client.get_model_version(self.model, number).tags
        assert told["pindet.bundle_md5"] == self.project.pinned(rev=told["git.commit"])
        return told["pindet.version"]

    def check_tagged(self, folder):
        """What is served is tagged, whatever happened."""
        release = self.served(folder)
        if release is not None:
            assert self.tagged()[release.lineage["git_tag"]] == release.lineage["git_commit"]
            assert self.tagged()[f"{self.model}@{release.version}"] == release.lineage["git_commit"]
        return release


@pytest.fixture(scope="module")
def bucket(s3_server):
    client = boto3.client(
        "s3", endpoint_url=s3_server.endpoint, aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key, region_name="us-east-1",
    )  # fmt: skip
    name = f"releases-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture
def site(shared, s3_server, bucket, mlflow_server, monkeypatch):
    for variable, value in (s3_server.environment | {"AWS_ENDPOINT_URL": s3_server.endpoint}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return Site(shared, s3_server, bucket, mlflow_server)


def quiet(*_):
    pass


@pytest.mark.slow
def test_each_run_goes_on_where_the_last_was_cut_and_nothing_untagged_is_served(site, tmp_path):
    with open_bench(site.project.root) as bench:
        for point in POINTS:
            for moment in ("before", "after"):
                with pytest.raises(Cut), cutting(bench, point, moment):
                    promote(bench, Wish(), quiet, quiet)
                release = site.check_tagged(tmp_path / "store")
                assert (release is not None) == (point == "card" or (point, moment) == ("release", "after"))
                bench.refresh()
        assert not promote(bench, Wish(), quiet, quiet).changed
        assert reconcile(bench, quiet, check=True).changed == []
    assert site.check_tagged(tmp_path / "store").version == "v1.0.0" == site.champion()


@pytest.mark.slow
def test_a_rollback_that_is_cut_goes_on_too(site, tmp_path):
    with open_bench(site.project.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        site.project.train(score=0.8, tracked=True)
        promote(bench, Wish(), quiet, quiet)
        for point in ("mktag", "push", "alias", "release"):
            for moment in ("before", "after"):
                with pytest.raises(Cut), cutting(bench, point, moment):
                    rollback(bench, "production", quiet, quiet, to="v1.0.0")
                served = site.check_tagged(tmp_path / "store").version
                assert served == ("v1.0.0" if (point, moment) == ("release", "after") else "v1.1.0")
                bench.refresh()
        assert not rollback(bench, "production", quiet, quiet, to="v1.0.0").changed
    assert site.champion() == "v1.0.0"


def test_a_rollback_that_is_cut_and_typed_again_does_not_go_forward(site, tmp_path):
    with open_bench(site.project.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        site.project.train(score=0.8, tracked=True)
        promote(bench, Wish(), quiet, quiet)
        for point, moment in [("push", "before"), ("push", "after"), ("alias", "before"), ("alias", "after"),
                              ("release", "before")]:  # fmt: skip
            with pytest.raises(Cut), cutting(bench, point, moment):
                rollback(bench, "production", quiet, quiet)
            assert site.check_tagged(tmp_path / "store").version == "v1.1.0"
            bench.refresh()
        assert rollback(bench, "production", quiet, quiet).version == "v1.0.0"
        with pytest.raises(PromotionError, match="there is nothing before it"):
            rollback(bench, "production", quiet, quiet)
    assert site.check_tagged(tmp_path / "store").version == "v1.0.0" == site.champion()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cut_between_the_remote_s_tags_and_this_clone_s_is_mended_by_fetching(site, moment):
    with open_bench(site.project.root) as bench, pytest.raises(Cut), cutting(bench, "update-ref", moment):
        promote(bench, Wish(), quiet, quiet)
    assert len(site.tagged()) == 2
    with open_bench(site.project.root) as bench:
        assert reconcile(bench, quiet).failed == []
    assert site.champion() == "v1.0.0"
    assert set(site.tagged()) == site.project.tags()


def killed(site, *arguments):
    """Run a promotion or a rollback in a process that is killed at a point."""
    done = subprocess.run(
        [sys.executable, str(CHILD), *arguments], cwd=site.project.root, capture_output=True, timeout=240
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.slow
def test_a_promotion_that_is_killed_goes_on_when_it_is_typed_again(site, tmp_path):
    for point, moment in [("upload last", "after"), ("push", "before"), ("model version", "after"), ("alias", "after"),
                          ("release", "before"), ("release", "after")]:  # fmt: skip
        killed(site, "promote", point, moment)
        release = site.check_tagged(tmp_path / "store")
        assert (release is not None) == ((point, moment) == ("release", "after"))
    with open_bench(site.project.root) as bench:
        assert promote(bench, Wish(), quiet, quiet).version == "v1.0.0"
        site.project.train(score=0.8, tracked=True)
        assert promote(bench, Wish(), quiet, quiet).version == "v1.1.0"
    for point in ("alias", "release"):
        killed(site, "rollback", point, "before")
        assert site.check_tagged(tmp_path / "store").version == "v1.1.0"
    with open_bench(site.project.root) as bench:
        assert rollback(bench, "production", quiet, quiet).version == "v1.0.0"
    assert site.check_tagged(tmp_path / "store").version == "v1.0.0" == site.champion()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_typed_and_cut_nothing_untagged_is_served_and_reconcile_finishes(shared, tmp_path, seed):
    """Promotions, rollbacks and reconciliations in any order, each cut anywhere or not at all."""
    chance = random.Random(seed)
    tagging = ["mktag", "push", "update-ref", "release", "card", "nowhere"]
    points = {"promote": ["upload first", "upload last", *tagging], "rollback": tagging, "reconcile": tagging[-3:]}
    typed = {
        "promote": lambda bench: promote(bench, Wish(), quiet, quiet),
        "rollback": lambda bench: rollback(bench, "production", quiet, quiet),
        "reconcile": lambda bench: reconcile(bench, quiet),
    }
    shared.promote()
    done = []
    for step in range(12):
        if chance.random() < 0.6:
            shared.train(score=0.6 + 0.01 * step)
        (command,) = chance.choices(list(typed), [3, 2, 1])
        point, moment = chance.choice(points[command]), chance.choice(["before", "after"])
        done.append((command, point, moment))
        # That there is nothing to roll back to is an error, too.
        with open_bench(shared.root) as bench, contextlib.suppress(Cut, PromotionError), cutting(bench, point, moment):
            typed[command](bench)
        check_served_is_tagged(shared, tmp_path, done)
    with open_bench(shared.root) as bench:
        finished = reconcile(bench, quiet)
        assert not finished.failed and not reconcile(bench, quiet, check=True).changed, done
    release = shared.release()
    assert (release and release["version"]) == finished.stages.get("production"), done
    check_served_is_tagged(shared, tmp_path, done)


def check_served_is_tagged(project, folder, done):
    if project.release() is None:
        return
    release, _ = project.served(folder)
    for tag in (release.lineage["git_tag"], f"detector@{release.version}"):
        command = ["git", "rev-parse", f"{tag}^{{commit}}"]
        commit = subprocess.check_output(command, cwd=project.origin, text=True).strip()
        assert commit == release.lineage["git_commit"], done


@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_remote_that_fails_in_the_middle_of_uploading_releases_nothing(site, tmp_path, monkeypatch, count):
    """The disk of the S3 server is full, or the network goes."""
    with open_bench(site.project.root) as bench:
        real, puts = bench.objects._fs.put_file, []

        def failing(*arguments):
            puts.append(arguments)
            if len(puts) > count:
                raise OSError("No space left on device")
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(bench.objects._fs, "put_file", failing)
            with pytest.raises(PromotionError, match=r"the DVC remote .* can not be used: No space left on device"):
                promote(bench, Wish(), quiet, quiet)
        assert len(puts) == count + 1 and site.tagged() == {} and site.served(tmp_path / "store") is None
        assert promote(bench, Wish(), quiet, quiet).version == "v1.0.0"
    assert site.check_tagged(tmp_path / "store").version == "v1.0.0" == site.champion()


def test_a_promotion_that_is_killed_is_finished_by_reconcile_in_another_clone(site, clone, tmp_path):
    killed(site, "promote", "push", "after")
    site.check_tagged(tmp_path / "store")
    site.project.git("push", "-q", "origin", "main")
    other = clone(site.project)
    shutil.copy(site.project.root / ".dvc/config.local", other.root / ".dvc/config.local")
    with open_bench(other.root) as bench:
        assert reconcile(bench, quiet).stages == {"production": "v1.0.0"}
    assert site.check_tagged(tmp_path / "store").version == "v1.0.0" == site.champion()
