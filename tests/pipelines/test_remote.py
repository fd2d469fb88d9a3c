"""What was made can be kept elsewhere and fetched again: pushed, wiped, pulled, and still up to date."""

import shutil
import uuid

import boto3
import pytest


@pytest.fixture
def bucket(s3_server):
    client = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        region_name="us-east-1",
    )
    name = f"detectors-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return client, name


def wipe_and_pull(project, **environment):
    made = project.outs()
    for path in made.keys() - {"metrics.json"}:  # which git keeps
        target = project.root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    shutil.rmtree(project.root / ".dvc/cache")
    project.dvc("pull", **environment)
    assert "Data and pipelines are up to date" in project.dvc("repro")
    assert project.outs() == made


def test_the_local_folder_is_the_remote_by_default(project):
    project.dvc("push")
    wipe_and_pull(project)


def test_an_s3_bucket_as_the_remote(project, s3_server, bucket):
    project.dvc("remote", "add", "--default", "store", f"s3://{bucket[1]}/pindet")
    project.dvc("remote", "modify", "store", "endpointurl", s3_server.endpoint)
    project.dvc("push", **s3_server.environment)
    client, name = bucket
    assert client.list_objects_v2(Bucket=name)["KeyCount"] > 10
    wipe_and_pull(project, **s3_server.environment)


def test_a_wrong_secret_is_an_error_and_not_an_empty_remote(project, s3_server, bucket):
    project.dvc("remote", "add", "--default", "store", f"s3://{bucket[1]}/pindet")
    project.dvc("remote", "modify", "store", "endpointurl", s3_server.endpoint)
    wrong = s3_server.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    said = project.dvc("push", status=255, **wrong)
    assert "SignatureDoesNotMatch" in said or "Forbidden" in said
