"""Follows the status feed through lost connections."""

from __future__ import annotations

import json
import logging
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from pindet_serve.client.connection import HttpConnection
from pindet_serve.client.errors import ClientError
from pindet_serve.status.backoff import Backoff

EXPIRED = 4401
FORBIDDEN = 4403
SILENCE_SECONDS = 45.0
"""The server pings every 15 s; three that do not come mean that it is gone, or the way to it."""
_log = logging.getLogger(__name__)


def follow(
    server: HttpConnection,
    last_id: str | None,
    give_up_after_s: float | None,
    backoff: Backoff | None = None,
    silence_s: float = SILENCE_SECONDS,
) -> Iterator[dict[str, Any]]:
    """Yield events; see :meth:`pindet_serve.client.Client.status`.

    Raises:
        ClientError: not allowed, or not reached for ``give_up_after_s``.
    """
    backoff = backoff or Backoff()
    heard = time.monotonic()
    while True:
        try:
            for event in _read(server, last_id, silence_s):
                last_id, heard = event["id"], time.monotonic()
                backoff.reset()
                if event["type"] != "ping":
                    yield event
        except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, ClientError) as error:
            _raise_if_final(server, error)
            if give_up_after_s is not None and time.monotonic() - heard > give_up_after_s:
                raise ClientError(0, f"{server.url} was not reached for {give_up_after_s} s: {error}") from error
            _log.info("the status feed was lost and is taken up again: %s", error)
        time.sleep(backoff.next())


def _read(server: HttpConnection, last_id: str | None, silence_s: float) -> Iterator[dict[str, Any]]:
    address = "ws" + server.url.removeprefix("http") + "/ws/status"
    if last_id:
        address += "?" + urllib.parse.urlencode({"last_id": last_id})
    with connect(
        address,
        additional_headers=server.authorization(),
        open_timeout=server.timeout_s,
        close_timeout=1,
        compression=None,
    ) as socket:
        while True:
            yield json.loads(socket.recv(timeout=silence_s))


def _raise_if_final(server: HttpConnection, error: Exception) -> None:
    """Raise what trying again does not mend."""
    if isinstance(error, ClientError) and error.status in (401, 403):
        raise error
    if isinstance(error, InvalidStatus) and 400 <= error.response.status_code < 500:
        raise ClientError(error.response.status_code, "the server does not open the status feed for this client")
    closed = error.rcvd if isinstance(error, ConnectionClosed) else None
    if closed and (closed.code == FORBIDDEN or (closed.code == EXPIRED and not server.token_ended())):
        raise ClientError(closed.code, closed.reason) from error
