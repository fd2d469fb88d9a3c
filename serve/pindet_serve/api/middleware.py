"""Around every request: its id, its model, its log line and figures, and the limits of its body."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
import uuid
from collections.abc import Iterator, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pindet_serve.api import detect, jobs, logs
from pindet_serve.api.body_room import BodyHolder, BodyRoom
from pindet_serve.api.metrics import Metrics
from pindet_serve.api.problems import Problem, internal_error
from pindet_serve.serving.service import Service
from pindet_serve.settings import Settings

_log = logging.getLogger("pindet_serve.access")
_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_LOGGED_PATH = 200
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


class RequestMiddleware:
    """Gives each HTTP answer ``X-Request-ID``, ``X-Model-Version``, ``X-Model-MD5`` and, if sent, ``traceparent``.

    A body that is larger or slower than the settings allow ends in a problem. An exception that nothing handled
    is logged and answered with a problem.
    """

    def __init__(
        self, app: ASGIApp, *, settings: Settings, service: Service, metrics: Metrics, room: BodyRoom
    ) -> None:
        self._app, self._settings, self._service, self._metrics = app, settings, service, metrics
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        answered = self._identify(scope, headers)
        app = detect.direct if _is_plain_detection(scope, headers) else self._app
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._marks(scope, answered)]
            await send(message)

        with self._room.holder() as held:
            scope["state"]["held"] = held
            try:
                await app(scope, _Limited(receive, scope, headers, self._settings, held), send_marked)
            except Exception as error:
                _log.error("unforeseen error", exc_info=error)
                if status == 0:
                    await internal_error()(scope, receive, send_marked)
            finally:
                self._account(scope, status, time.perf_counter() - started)

    def _identify(self, scope: Scope, headers: MutableMapping[bytes, str]) -> dict[bytes, str]:
        sent = headers.get(b"x-request-id", "")
        own = sent if _OWN_ID.fullmatch(sent) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = own
        logs.request_id.set(own)
        answered = {b"x-request-id": own}
        spanned = state.get("traceparent", "")
        trace = _TRACEPARENT.fullmatch(spanned or headers.get(b"traceparent", ""))
        logs.trace_id.set(trace[1] if trace else "")
        if trace:
            answered[b"traceparent"] = spanned or f"00-{trace[1]}-{secrets.token_hex(8)}-{trace[2]}"
        return answered

    def _marks(self, scope: Scope, answered: dict[bytes, str]) -> Iterator[tuple[bytes, bytes]]:
        """Headers that no route gives itself."""
        release = (scope["state"].get("model") or self._service.model).release
        yield b"x-model-version", release.version.encode("latin-1")
        yield b"x-model-md5", release.bundle_md5.encode("latin-1")
        yield b"x-content-type-options", b"nosniff"
        for name, value in answered.items():
            yield name, value.encode("latin-1")

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "unknown")
        self._metrics.observe_request(scope["method"] if route else "other", path, status, seconds)
        logged = scope["path"][:_LONGEST_LOGGED_PATH]
        fields: dict[str, Any] = {"method": scope["method"], "path": logged, "status": status}
        _log.info("request", extra={"fields": fields | {"ms": round(1000 * seconds, 2)}})


def _is_plain_detection(scope: Scope, headers: MutableMapping[bytes, str]) -> bool:
    """Without parameters, and not of a page, to which more may have to be said."""
    wanted = scope["path"] == detect.PATH and scope["method"] == "POST"
    return wanted and not scope["query_string"] and b"origin" not in headers


class _Limited:
    """A request's ``receive`` that raises a problem when the body is too large or too slow, or all are too many.

    So it does when the client leaves before its body is whole: 499, which nobody is sent, but which is counted.
    The input of a job may be larger, and take as long as something keeps coming; it goes to the disk as it comes.
    """

    def __init__(
        self,
        receive: Receive,
        scope: Scope,
        headers: MutableMapping[bytes, str],
        settings: Settings,
        held: BodyHolder,
    ) -> None:
        self._receive, self._seconds, self._held = receive, settings.body_timeout_s, held
        self._is_job = scope["path"] == jobs.PATH
        self._most = settings.max_job_bytes if self._is_job else settings.max_body_bytes
        self._until = time.monotonic() + self._seconds
        self._left = self._most
        self._whole = False
        declared = headers.get(b"content-length", "")
        self._declared = int(declared) if declared.isdigit() else 0
        self._has_body = bool(declared) or b"transfer-encoding" in headers

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        if self._declared > self._most:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body was not complete after {self._seconds:g} s"
            raise Problem(408, "Request timeout", detail, headers={"Connection": "close"}) from None
        if message["type"] == "http.disconnect" and self._has_body:
            raise Problem(499, "Client closed request", "the client went away before its body was whole")
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self._left -= size
            if not self._is_job and not self._held.take(size):
                raise _no_room()
            self._whole = not message.get("more_body", False)
        if self._left < 0:
            raise self._too_large()
        if self._is_job:
            self._until = time.monotonic() + self._seconds
        return message

    def _too_large(self) -> Problem:
        detail = f"the body exceeds {self._most / 2**20:g} MiB, which is allowed"
        return Problem(413, "Body too large", detail, headers={"Connection": "close"})


def _no_room() -> Problem:
    detail = "the bodies of other requests take all the memory that there is for them; try again"
    return Problem(503, "Overloaded", detail, headers={"Retry-After": "1", "Connection": "close"})
