"""Errors as RFC 9457 ``application/problem+json``: one shape for every route."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - it is named as RFC 9457 names it
    """An answer that is an error.

    Args:
        status: HTTP status, 400 to 599.
        title: short, the same for every occurrence of this kind of problem.
        detail: what was seen, what is allowed, what to do.
        type: URI of the kind of problem.
        headers: further response headers, such as ``Retry-After``.
        members: further members of the JSON object.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        type: str = "about:blank",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"type": type, "title": title, "status": status, "detail": detail, **members}

    def response(self) -> Response:
        """The HTTP response that says it."""
        return Response(json.dumps(self.body).encode(), self.status, self.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem: raised, of validation, and of routing."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return Problem(422, "Invalid parameters", detail, errors=errors).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Problem):  # of reading the body, which FastAPI has made "an error parsing the body"
        return error.__cause__.response()
    title, detail, headers = HTTPStatus(error.status_code).phrase, str(error.detail), dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette names the methods of the first route of a path, not of all.
        allowed = sorted(_methods(request)) or headers.get("allow", "").split(", ")
        headers["Allow"] = ", ".join(allowed)
        detail = f"{request.method} is not allowed here; allowed are {headers['Allow']}"
    return Problem(error.status_code, title, detail, headers=headers).response()


def _methods(request: Request) -> set[str]:
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    return {
        method.upper()
        for path, methods in paths.items()
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", path), request.url.path)
        for method in methods
    }


def internal_error() -> Response:
    """The answer to what nobody foresaw."""
    return Problem(500, "Internal error", "the server failed; its log holds the cause under this request id").response()
