"""Which releases lie beside the one that is followed: one file a stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release
from pindet_serve.serving.sources import open_source

MOST = 100


@dataclass(frozen=True)
class Listed:
    """A release file: its stage by its name, and what it holds, or why it can not be read."""

    stage: str
    release: Release | None
    error: str = ""


def list_releases(address: str) -> list[Listed]:
    """Read the release files in the folder of the source's own; none when the source is a workspace.

    Args:
        address: as :func:`~pindet_serve.serving.sources.open_source` takes it.

    Raises:
        BundleError: S3 can not be asked.
    """
    if not address.endswith(".json"):
        return []
    return [_read(path) for path in (_on_s3(address) if address.startswith("s3://") else _on_disk(address))]


def _on_disk(address: str) -> list[str]:
    paths = sorted(Path(address).absolute().parent.glob("*.json"))
    return [str(path) for path in paths if not path.name.startswith(".")][:MOST]


def _on_s3(address: str) -> list[str]:
    try:
        import boto3
        import botocore.exceptions
    except ImportError as error:
        raise BundleError(f"{address} needs boto3; pip install 'pindet-serve[s3]'") from error
    bucket, _, key = address.removeprefix("s3://").partition("/")
    folder = f"{PurePosixPath(key).parent}/"
    try:
        answer = boto3.session.Session().client("s3").list_objects_v2(
            Bucket=bucket, Prefix=folder, Delimiter="/", MaxKeys=MOST
        )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise BundleError(f"s3://{bucket}/{folder} can not be listed: {error}") from error
    keys = [str(item["Key"]) for item in answer.get("Contents", [])]
    return [f"s3://{bucket}/{key}" for key in keys if key.endswith(".json")]


def _read(address: str) -> Listed:
    stage = PurePosixPath(address).stem
    try:
        return Listed(stage, open_source(address).pinned())
    except BundleError as error:
        return Listed(stage, None, str(error))
