"""The client."""

from __future__ import annotations

import json
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pindet_serve.client.connection import HttpConnection
from pindet_serve.client.errors import ClientError
from pindet_serve.client.status import follow

ImageFile = bytes | str | Path


class Client:
    """Asks a pindet server. Safe for threads.

    Answers are what the server's OpenAPI document describes, as dictionaries. Every method raises
    :class:`ClientError` for an answer that is an error, and when there is none.

    Args:
        url: of the server.
        token: a token that is there already.
        user: name to sign in with; not needed where sign-in is off.
        password: of that user.
        timeout_s: how long the server may be silent.
    """

    def __init__(
        self,
        url: str = "http://localhost:8000",
        *,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._http = HttpConnection(url, token, user, password, timeout_s)

    def detect(
        self,
        *images: ImageFile,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Find the objects in image files: their bytes, or paths."""
        if not images:
            raise ValueError("no image was given; give at least one path, or the bytes of a file")
        body, content_type = _multipart([_named(image) for image in images])
        query = {"score_threshold": score_threshold, "max_detections": max_detections, "classes": classes}
        answer: dict[str, Any] = self._http.json("POST", "/v1/detect", query, body, content_type)
        return answer

    def model(self) -> dict[str, Any]:
        """The lineage of what is served."""
        answer: dict[str, Any] = self._http.json("GET", "/v1/model")
        return answer

    def submit(
        self,
        path: str | Path,
        *,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Start a job on a video, or a zip archive of images; its ``id`` is for the methods below."""
        query = {
            "score_threshold": score_threshold, "max_detections": max_detections, "classes": classes,
            "name": Path(path).name[:255],
        }  # fmt: skip
        self._http.authorization()  # a stream can not be sent a second time
        with (
            Path(path).open("rb") as file,
            self._http.open("POST", "/v1/jobs", query, file, "application/octet-stream") as answer,
        ):
            job: dict[str, Any] = json.load(answer)
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        """How far a job is."""
        answer: dict[str, Any] = self._http.json("GET", _path(job_id))
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs, newest first."""
        answer: list[dict[str, Any]] = self._http.json("GET", "/v1/jobs")
        return answer

    def wait(self, job_id: str, *, poll_s: float = 1.0, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait until a job is finished.

        Raises:
            ClientError: it failed or was cancelled.
            TimeoutError: it is not finished within ``timeout_s``.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (job := self.job(job_id))["status"] in ("queued", "running"):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"job {job_id} is {job['status']} after {timeout_s} s")
            time.sleep(poll_s)
        if job["status"] != "finished":
            raise ClientError(0, f"job {job_id} is {job['status']}: {job.get('error', '')}")
        return job

    def result(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The result of a finished job, frame by frame, as it is downloaded."""
        with self._http.open("GET", f"{_path(job_id)}/result") as answer:
            for line in answer:
                yield json.loads(line)

    def cancel(self, job_id: str) -> None:
        """Cancel a job if it still runs, and delete what it made."""
        self._http.json("DELETE", _path(job_id))

    def status(self, last_id: str | None = None, *, give_up_after_s: float | None = None) -> Iterator[dict[str, Any]]:
        """Follow the status feed, for ever: a snapshot, then events ``{id, type, ts, source, data}``.

        A connection that is lost is made again, after a while that grows and is drawn by chance, and goes on after the
        last event; each connection begins with a ``snapshot``, whose ``data.reset`` says whether events are missing.

        Args:
            last_id: id of the last event that was read before.
            give_up_after_s: how long the server may be away; ``None`` for ever.
        """
        return follow(self._http, last_id, give_up_after_s)


def _path(job_id: str) -> str:
    return f"/v1/jobs/{urllib.parse.quote(job_id, safe='')}"


def _named(image: ImageFile) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return "image", image
    path = Path(image)
    return path.name, path.read_bytes()


def _multipart(files: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    """The files as ``multipart/form-data`` (RFC 7578), and its content type."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, content in files:
        # As browsers do it: https://html.spec.whatwg.org/#multipart-form-data
        safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{safe}"\r\n'
        parts += [head.encode(), b"Content-Type: application/octet-stream\r\n\r\n", content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
