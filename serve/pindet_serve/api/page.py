"""The web page: its files, and the headers that keep everything else out of it."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pindet_serve.api.problems import Problem

WEB = Path(__file__).parents[1] / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "media-src": "blob:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    # The page never turns text into markup or code; browsers that know Trusted Types hold it to that.
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    # Always asked for again, and answered with 304: after an upgrade nobody mixes old and new modules.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class File:
    """One file of the page, as it is sent."""

    data: bytes
    zipped: bytes
    etag: str
    media_type: str


@cache
def files() -> dict[str, File]:
    """Every file of the page, by its path below the folder ``web``."""
    paths = [path for path in sorted(WEB.rglob("*")) if path.suffix in TYPES and not path.name.endswith(".d.ts")]
    return {path.relative_to(WEB).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> File:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:20]
    return File(data, gzip.compress(data, mtime=0), f'W/"{digest}"', TYPES[path.suffix])


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """The description of the API."""
    return _answer(request, "index.html")


@router.api_route("/web/{path:path}", methods=["GET", "HEAD"])
async def file(request: Request, path: str) -> Response:
    """A file of the page."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    found = files().get(path)
    if found is None:
        raise Problem(404, "Not Found", f"the page has no file {path!r}")
    headers = HEADERS | {"ETag": found.etag}
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    if found.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    headers |= {"Content-Encoding": "gzip"} if zipped else {}
    return Response(found.zipped if zipped else found.data, headers=headers, media_type=found.media_type)
