"""Fetches one file over HTTP, bounded in size and time, from the address that was checked and no other."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from urllib.parse import SplitResult

from pindet_serve.fetching.allowed import Address, AllowList, port_of

_CHUNK = 64 * 1024


class FetchError(Exception):
    """The other server did not give the file; the message says what it did."""


class TooLargeError(FetchError):
    """The file is larger than allowed."""


class Fetcher:
    """Fetches files by URL. Safe for threads; each fetch keeps one waiting.

    Redirects are not followed, proxies of the environment are not used, certificates are verified.

    Args:
        allowed: what may be fetched.
        max_bytes: of a file.
        seconds: for all of a fetch.
    """

    def __init__(self, allowed: AllowList, max_bytes: int, seconds: float) -> None:
        self.max_bytes = max_bytes
        self._allowed, self._seconds = allowed, seconds
        self._context = ssl.create_default_context()

    def fetch(self, url: str) -> bytes:
        """The bytes of the file.

        Raises:
            UrlError: the URL is not one of those that are fetched.
            FetchError: it could not be had.
        """
        until = time.monotonic() + self._seconds
        parts = self._allowed.check(url)
        try:
            connection = self._connected(parts, self._allowed.resolve(parts), until)
        except OSError as error:  # of name resolution and of TLS too
            raise FetchError(f"{parts.hostname} can not be reached: {_reason(error)}") from error
        # Whoever sends a byte now and then would outlast any timeout of a single read.
        limit = threading.Timer(max(0.0, until - time.monotonic()), _cut, [connection.sock])
        limit.start()
        try:
            return self._read(connection, parts)
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = time.monotonic() >= until
            reason = f"not within {self._seconds:g} s" if late else _reason(error)
            raise FetchError(f"{parts.hostname} gave no whole answer: {reason}") from error
        finally:
            limit.cancel()
            connection.close()

    def _connected(self, parts: SplitResult, address: Address, until: float) -> http.client.HTTPConnection:
        host, port = str(parts.hostname), port_of(parts)
        left = max(0.1, until - time.monotonic())
        sock = socket.create_connection((str(address), port), timeout=left)
        try:
            if parts.scheme == "https":
                sock = self._context.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        return connection

    def _read(self, connection: http.client.HTTPConnection, parts: SplitResult) -> bytes:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "pindet", "Connection": "close"}
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        if 300 <= answer.status < 400:
            raise FetchError(f"{parts.hostname} answers with a redirect ({answer.status}), which is not followed")
        if answer.status != 200:
            raise FetchError(f"{parts.hostname} answers {answer.status}")
        if (answer.length or 0) > self.max_bytes:
            raise self._too_large(parts)
        data = bytearray()
        while chunk := answer.read1(_CHUNK):
            data += chunk
            if len(data) > self.max_bytes:
                raise self._too_large(parts)
        if answer.length:
            raise ValueError(f"{answer.length} bytes are missing")
        return bytes(data)

    def _too_large(self, parts: SplitResult) -> TooLargeError:
        return TooLargeError(f"the file of {parts.hostname} exceeds {self.max_bytes / 2**20:g} MiB, which is allowed")


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
