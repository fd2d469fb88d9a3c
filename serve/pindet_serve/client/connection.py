"""HTTP with sign-in, on the standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from pindet_serve.client.errors import ClientError

Query = Mapping[str, str | int | float | Sequence[str] | None]


class HttpConnection:
    """Sends requests to one server; signs in when it is told to, and again when the token has ended.

    Args:
        url: of the server, such as ``https://plant.example``.
        token: a token that is there already.
        user: name to sign in with.
        password: of that user.
        timeout_s: how long the server may be silent.

    Raises:
        ValueError: no http or https URL.
    """

    def __init__(self, url: str, token: str | None, user: str | None, password: str | None, timeout_s: float) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"the address is {url!r}; allowed is http://… or https://…")
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self._token = token
        self._user, self._password = user, password
        self._signing_in = threading.Lock()

    def authorization(self) -> dict[str, str]:
        """The header that proves who is asking; empty without sign-in."""
        with self._signing_in:
            if self._token is None and self._user is not None:
                form = {"username": self._user, "password": self._password or ""}
                body = urllib.parse.urlencode(form).encode()
                with self._send("POST", "/v1/auth/token", {}, body, "application/x-www-form-urlencoded", {}) as answer:
                    self._token = str(json.load(answer)["access_token"])
            return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def token_ended(self) -> bool:
        """Forget the token; whether another one can be had."""
        self._token = None
        return self._user is not None

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | BinaryIO | None = None,
        content_type: str | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to a request, to be read.

        Raises:
            ClientError: the answer is an error, or there is none.
        """
        try:
            answer = self._send(method, path, query or {}, body, content_type, self.authorization())
        except ClientError as error:
            if error.status != 401 or not self.token_ended() or (body is not None and not isinstance(body, bytes)):
                raise
            answer = self._send(method, path, query or {}, body, content_type, self.authorization())
        with answer:
            yield answer

    def json(self, method: str, path: str, query: Query | None = None, body: bytes | None = None,
             content_type: str | None = None) -> Any:  # fmt: skip
        """The JSON that a request is answered with; ``None`` for an empty answer."""
        with self.open(method, path, query, body, content_type) as answer:
            content = answer.read()
            return json.loads(content) if content else None

    def _send(
        self,
        method: str,
        path: str,
        query: Query,
        body: bytes | BinaryIO | None,
        content_type: str | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        given = {name: value for name, value in query.items() if value is not None}
        tail = f"?{urllib.parse.urlencode(given, doseq=True)}" if given else ""
        request = urllib.request.Request(self.url + path + tail, body, dict(headers), method=method)
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.timeout_s)
            return answer
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise ClientError(0, f"{self.url} does not answer: {error}") from error


def _refused(error: urllib.error.HTTPError) -> ClientError:
    problem: Any = None
    with contextlib.suppress(ValueError, OSError):
        problem = json.loads(error.read())
    if not isinstance(problem, dict):
        problem = {}
    retry = error.headers.get("Retry-After", "")
    detail = str(problem.get("detail") or error.reason)
    return ClientError(error.code, detail, problem, float(retry) if retry.isdigit() else None)
