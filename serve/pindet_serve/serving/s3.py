"""A release file on S3: ``s3://bucket/prefix/releases/<name>/<stage>.json``; keys start at the prefix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import Release, ReleasedFile, parse_release

LARGEST_RELEASE_FILE = 2**20


class S3Source:
    """Reads with boto3; credentials, region and ``AWS_ENDPOINT_URL`` come from where boto3 looks for them.

    Raises:
        BundleError: boto3 is not installed, or the address has no bucket or key.
    """

    def __init__(self, address: str) -> None:
        try:
            import boto3.session
            import botocore.config
        except ImportError as error:
            raise BundleError(f"{address} needs boto3; pip install 'pindet-serve[s3]'") from error
        self._address = address
        self._bucket, _, self._key = address.removeprefix("s3://").partition("/")
        if not self._bucket or not self._key:
            raise BundleError(f"source is {address!r}; allowed is s3://bucket/…/releases/name/stage.json")
        parents = PurePosixPath(self._key).parents
        prefix = parents[min(2, len(parents) - 1)].as_posix()
        self._prefix = "" if prefix == "." else f"{prefix}/"
        config = botocore.config.Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 3})
        self._client: Any = boto3.session.Session().client("s3", config=config)

    def pinned(self) -> Release:
        """Read the release file from the bucket."""
        with _named(self._address):
            body = self._client.get_object(Bucket=self._bucket, Key=self._key)["Body"].read(LARGEST_RELEASE_FILE)
        return parse_release(body.decode("utf-8", "replace"), self._address)

    def fetch(self, file: ReleasedFile, target: Path) -> None:
        """Download one object."""
        with _named(f"s3://{self._bucket}/{self._prefix}{file.key}"):
            self._client.download_file(self._bucket, self._prefix + file.key, str(target))


@contextlib.contextmanager
def _named(address: str) -> Iterator[None]:
    """Turn boto3's errors, of three unrelated families, into a BundleError that names the object."""
    import boto3.exceptions
    import botocore.exceptions

    try:
        yield
    except (
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, boto3.exceptions.Boto3Error
    ) as error:  # fmt: skip
        raise BundleError(f"{address} can not be read: {error}") from error
