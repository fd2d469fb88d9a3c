"""Releases from a file and from a real S3 server; what they name is fetched by md5 or refused."""

import json
import shutil
import subprocess
import sys

import pytest
from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import ReleasedFile, parse_release
from pindet_serve.serving.sources import open_source
from pindet_serve.serving.store import Store
from pindet_serve.serving.workspace import WorkspaceSource


@pytest.fixture
def remote(tmp_path, make_bundle, make_release):
    """A DVC remote with one release."""
    make_release(tmp_path / "remote", make_bundle(tmp_path / "bundle"))
    return tmp_path / "remote"


RELEASE = "releases/detector/production.json"


def fetched(address, tmp_path):
    source = open_source(str(address))
    return Store(tmp_path / "store").bundle(source.pinned(), source.fetch)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_md5_of_a_workspace_is_dvc_s_own(project):
    pytest.importorskip("dvc")
    bundle = project / "models" / "bundle"
    (bundle / "größe 人.txt").write_text("x")
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "models/bundle"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=project, check=True)
    pinned = (project / "models" / "bundle.dvc").read_text("utf-8")
    md5 = pinned.split("md5: ")[1].split()[0]
    outs = f"outs:\n    - path: models/bundle\n      md5: {md5}"
    (project / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  export:\n    {outs}\n")
    assert WorkspaceSource(project).pinned().bundle_md5 == md5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {}", "pins no models/bundle"),
        ("stages: [", "can not be read"),
        ("[]", "not as DVC writes it"),
        ("stages: {export: {outs: [{path: models/bundle}]}}", "not as DVC writes it"),
    ],
)
def test_a_lock_file_that_pins_nothing_is_named(project, text, message):
    (project / "dvc.lock").write_text(text)
    with pytest.raises(BundleError, match=message):
        WorkspaceSource(project).pinned()


def test_a_release_file_gives_its_bundle(remote, tmp_path):
    release = open_source(str(remote / RELEASE)).pinned()
    assert (release.version, release.stage, release.lineage) == ("v1.0.0", "production", {"git_commit": "1" * 40})
    assert names(fetched(remote / RELEASE, tmp_path)) == names(tmp_path / "bundle")


def test_a_second_fetch_needs_no_source(remote, tmp_path):
    folder = fetched(remote / RELEASE, tmp_path)
    release = open_source(str(remote / RELEASE)).pinned()
    shutil.rmtree(remote)
    shutil.rmtree(folder)

    def unreachable(*_):
        raise OSError("gone")

    assert names(Store(tmp_path / "store").bundle(release, unreachable)) == names(tmp_path / "bundle")


def spoilt(remote, change):
    content = json.loads((remote / RELEASE).read_text())
    change(content)
    (remote / RELEASE).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("files"), "no release file: KeyError 'files'"),
        (lambda content: content["files"].pop(), r"make .*\.dir, not"),
        (lambda content: content["files"][0].update(path="../../evil"), "a relative path is allowed"),
        (lambda content: content["files"][0].update(key="/etc/passwd"), "a relative path is allowed"),
        (lambda content: content["files"][0].update(md5="0"), "32 hexadecimal digits"),
        (lambda content: content.update(files=3), "no release file"),
    ],
)
def test_a_release_file_out_of_contract_is_refused(remote, change, message):
    spoilt(remote, change)
    with pytest.raises(BundleError, match=message):
        open_source(str(remote / RELEASE)).pinned()


def test_a_release_file_that_is_none_is_refused(remote):
    (remote / RELEASE).write_text("{")
    with pytest.raises(BundleError, match="no JSON"):
        open_source(str(remote / RELEASE)).pinned()
    (remote / RELEASE).unlink()
    with pytest.raises(BundleError, match="can not be read"):
        open_source(str(remote / RELEASE)).pinned()


def test_an_object_that_is_missing_or_truncated_is_refused(remote, tmp_path):
    (largest, *_) = sorted(
        (path for path in remote.rglob("files/md5/*/*")), key=lambda path: path.stat().st_size, reverse=True
    )
    largest.write_bytes(largest.read_bytes()[:-1])
    with pytest.raises(BundleError, match="changed, truncated or swapped"):
        fetched(remote / RELEASE, tmp_path)
    largest.unlink()
    with pytest.raises(BundleError, match="can not be fetched"):
        fetched(remote / RELEASE, tmp_path)
    assert not list((tmp_path / "store").rglob(".new-*"))


def test_a_release_survives_its_own_record(remote):
    release = open_source(str(remote / RELEASE)).pinned()
    assert parse_release(json.dumps(release.to_dict()), "here") == release


def test_windows_paths_do_not_leave_the_folder():
    with pytest.raises(BundleError, match="a relative path"):
        ReleasedFile("a\\..\\b", "0" * 32, 1, "k")


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """A client of the real S3 server with an empty bucket; boto3 finds the server by the environment."""
    boto3 = pytest.importorskip("boto3")
    for name, value in (s3_server.environment | {"AWS_ENDPOINT_URL": s3_server.endpoint}).items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket="serving")
    yield client
    for item in client.list_objects_v2(Bucket="serving").get("Contents", []):
        client.delete_object(Bucket="serving", Key=item["Key"])
    client.delete_bucket(Bucket="serving")
    client.close()


def upload(client, remote, prefix):
    for path in remote.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "serving", prefix + path.relative_to(remote).as_posix())


@pytest.mark.parametrize("prefix", ["", "team/remote/"])
def test_s3_gives_the_bundle(bucket, remote, tmp_path, prefix):
    upload(bucket, remote, prefix)
    address = f"s3://serving/{prefix}{RELEASE}"
    assert names(fetched(address, tmp_path)) == names(tmp_path / "bundle")


def test_s3_objects_that_are_missing_or_truncated_are_refused(bucket, remote, tmp_path):
    upload(bucket, remote, "")
    address = f"s3://serving/{RELEASE}"
    key = next(item["key"] for item in json.loads((remote / RELEASE).read_text())["files"] if "onnx" in item["path"])
    bucket.put_object(Bucket="serving", Key=key, Body=b"short")
    with pytest.raises(BundleError, match=r"model\.onnx has md5 .* and 5 bytes"):
        fetched(address, tmp_path)
    bucket.delete_object(Bucket="serving", Key=key)
    with pytest.raises(BundleError, match=f"s3://serving/{key} can not be read"):
        fetched(address, tmp_path)
    with pytest.raises(BundleError, match="can not be read"):
        open_source("s3://serving/releases/detector/staging.json").pinned()
    with pytest.raises(BundleError, match="allowed is s3://bucket"):
        open_source("s3://serving")


def test_wrong_credentials_and_an_absent_server_are_refused(bucket, remote, monkeypatch):
    upload(bucket, remote, "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(BundleError, match="can not be read"):
        open_source(f"s3://serving/{RELEASE}").pinned()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BundleError, match=r"can not be read: .*127\.0\.0\.1:9"):
        open_source(f"s3://serving/{RELEASE}").pinned()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": None}, "name of the release is None"),
        ({"stage": "Zürich"}, "stage of the release"),
        ({"version": ["v1"]}, "version of the release"),
        ({"note": "\ud800"}, "is no JSON"),
        ({"metrics": {"test/map": float("nan")}}, "is no JSON"),
        ({"files": [{"path": 7, "md5": "0" * 32, "size": 1, "key": "k"}]}, "path of a released file is 7"),
        ({"files": [{"path": "a", "md5": 7, "size": 1, "key": "k"}]}, "md5 of a released file is 7"),
        ({"files": [{"path": "a", "md5": "0" * 32, "size": "1", "key": "k"}]}, "size of a is '1'"),
        ({"files": [{"path": "a", "md5": "0" * 32, "size": 1, "key": None}]}, "key of a released file is None"),
        ({"files": 7}, "is no release file"),
    ],
)
def test_what_is_of_the_wrong_type_or_can_not_be_said_is_refused(remote, changes, reason):
    content = json.loads((remote / RELEASE).read_text())
    with pytest.raises(BundleError, match=reason):
        parse_release(json.dumps(content | changes), "here")


def test_a_release_of_too_many_brackets_is_refused():
    with pytest.raises(BundleError, match="here is no JSON"):
        parse_release("[" * 100_000, "here")
