"""Which web pages may open a socket."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def origin_allowed(origin: str | None, host: str | None, allowed: Collection[str], *, loopback_only: bool) -> bool:
    """Whether a page may open a socket here.

    Browsers always send ``Origin``; programs that send none are judged by their token alone.

    Args:
        origin: of the page, such as ``https://plant.example:8080``.
        host: the ``Host`` header of the request: a page of this very server is allowed.
        allowed: further origins.
        loopback_only: with sign-in off, the page must come from this machine, whatever name it calls it by.
    """
    if origin is None:
        return True
    if origin.rstrip("/").lower() in {one.rstrip("/").lower() for one in allowed}:
        return True
    try:
        page, own = urlsplit(origin), urlsplit(f"//{host or ''}")
        same = page.scheme in ("http", "https") and (page.hostname, _port(page.port, page.scheme)) == (
            own.hostname,
            _port(own.port, page.scheme),
        )
    except ValueError:
        return False
    return same and page.hostname is not None and (not loopback_only or page.hostname in LOOPBACK)


def host_allowed(host: str | None, allowed: Collection[str]) -> bool:
    """Whether a server that only its own machine may reach was asked under a name of that machine.

    Args:
        host: the ``Host`` header; programs may leave it out, browsers never do.
        allowed: origins whose names are allowed as well, as that of a proxy before this server.
    """
    if not host:
        return True
    try:
        name = urlsplit(f"//{host}").hostname
        return name in LOOPBACK or name in {urlsplit(one).hostname for one in allowed}
    except ValueError:
        return False


def _port(port: int | None, scheme: str) -> int:
    return port or (443 if scheme == "https" else 80)
