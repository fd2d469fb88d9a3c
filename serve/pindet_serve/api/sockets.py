"""Sockets: how many there may be, and when one whose peer is gone is given up."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from pindet_serve.status.feed import FRAME

PEER_GONE_S = 30.0
"""A peer that acknowledges nothing for so long is gone: a camera without power closes no connection."""
_log = logging.getLogger(__name__)
_handshakes = logging.getLogger(f"{__name__}.handshakes")
_handshakes.setLevel(logging.WARNING)  # below that uvicorn tells each address with its query, and so the ticket in it


class WatchedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that the kernel gives up once what was sent stays without acknowledgement.

    A message that brings its frame along, because thousands get the same, is not framed again for each of them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _handshakes

    def connection_made(self, transport: Any) -> None:
        """Watch the connection from its first moment on."""
        super().connection_made(transport)
        watch_peer(transport)

    async def send(self, message: Any) -> None:
        """Send an ASGI message."""
        frame: bytes | None = message.get(FRAME)
        if frame is None or self.config.ws_per_message_deflate:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected
        if self.conn.state is State.OPEN and self.handshake_complete:
            self.transport.write(frame)


def watch_peer(transport: asyncio.Transport, seconds: float = PEER_GONE_S) -> None:
    """Set ``TCP_USER_TIMEOUT`` where there is one, and keep-alive for a connection on which nothing is sent."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if sys.platform == "linux":
        options += [
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds)),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(seconds / 2))),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(seconds / 6))),
        ]
    try:
        # The event loop lends a view of its socket only; a duplicate sets the same connection.
        with socket.socket(fileno=os.dup(connection.fileno())) as own:
            for level, option, value in options:
                own.setsockopt(level, option, value)
    except OSError as error:
        _log.debug("the connection can not be watched: %s", error)


def allow_many_sockets() -> None:
    """Raise the limit of open files to what the system grants: thousands of clients may follow the status feed."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warning("at most %d files and sockets can be open at once: %s", soft, error)
