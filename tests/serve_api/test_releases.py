"""``GET /v1/releases``: the releases beside the one that is followed."""

import json
import shutil

import boto3
import httpx
import pytest
from pindet_serve.manifest import BundleError
from pindet_serve.serving.released import list_releases


@pytest.fixture
def remote(tmp_path, make_release, make_bundle):
    """A remote with a release in production, another in staging, and one that is damaged."""
    production = make_release(tmp_path / "remote", make_bundle(tmp_path / "bundle"), "v1.0.0")
    content = json.loads(production.read_text("utf-8")) | {"stage": "staging", "version": "v1.1.0"}
    production.with_name("staging.json").write_text(json.dumps(content), "utf-8")
    production.with_name("damaged.json").write_text("{", "utf-8")
    production.with_name(".production.json.part").write_text("{", "utf-8")
    production.with_name(".hidden.json").write_text("{", "utf-8")
    production.with_name("v1.0.0.md").write_text("a model card", "utf-8")
    return production


def test_each_stage_is_listed_and_a_damaged_one_says_why(remote):
    listed = {one.stage: one for one in list_releases(str(remote))}

    assert listed.keys() == {"damaged", "production", "staging"}
    assert listed["staging"].release.version == "v1.1.0"
    assert listed["production"].error == ""
    assert listed["damaged"].release is None
    assert "is no JSON" in listed["damaged"].error


def test_a_workspace_has_none(project):
    assert list_releases(str(project)) == []


def test_they_are_listed_on_s3_too(remote, s3_server, monkeypatch):
    for name, value in (s3_server.environment | {"AWS_ENDPOINT_URL": s3_server.endpoint}).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="releases-test")
    for name in ("production", "staging"):
        path = remote.with_name(f"{name}.json")
        client.upload_file(str(path), "releases-test", f"store/releases/detector/{name}.json")
    client.put_object(Bucket="releases-test", Key="store/releases/detector/old/production.json", Body=b"{}")

    address = "s3://releases-test/store/releases/detector/production.json"
    assert [(one.stage, one.release.version) for one in list_releases(address)] == [
        ("production", "v1.0.0"), ("staging", "v1.1.0"),
    ]  # fmt: skip
    with pytest.raises(BundleError, match="can not be listed"):
        list_releases("s3://no-such-bucket/store/releases/detector/production.json")


def test_the_route_says_which_is_served(remote, start_server):
    server = start_server(remote)
    listed = {one["stage"]: one for one in httpx.get(f"{server.url}/v1/releases").json()}
    assert listed["production"] | {"lineage": None, "closed": ""} == {
        "stage": "production", "name": "detector", "version": "v1.0.0", "md5": listed["staging"]["md5"],
        "lineage": None, "followed": True, "served": True, "error": "", "closed": "", "before": [],
        "choices": [{"version": "v1.1.0", "commit": "1" * 40, "when": None, "metrics": {}}],
    }  # fmt: skip
    assert "REDIS_URL is not set" in listed["production"]["closed"]
    assert listed["production"]["lineage"] == {"git_commit": "1" * 40}
    assert not listed["staging"]["followed"]
    assert listed["damaged"]["error"]
    shutil.rmtree(remote.parent)
    assert httpx.get(f"{server.url}/v1/releases").json() == []
