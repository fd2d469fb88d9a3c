"""The WebSocket that gives clients the events of the bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from pindet_serve.status.admission import EXPIRED, Admission, Admits, EndedError, close_reason, while_admitted
from pindet_serve.status.bus import Bus
from pindet_serve.status.cursor import Cursor, SlowReaderError

TRY_AGAIN_LATER = 1013
FRAME = "pindet.frame"
"""A key of ``websocket.send``: the text as a frame, which :class:`~pindet_serve.api.sockets.WatchedWebSocket` sends."""
_BURST = 32
_log = logging.getLogger(__name__)


class StatusFeed:
    """An ASGI application: ``WS /ws/status?last_id=…&ticket=…``.

    A client gets a snapshot, what it missed since ``last_id``, then events as they come, each one JSON text
    ``{id, type, ts, source, data}``; what it sends is discarded. Closed with 1013: too slow, or too many clients;
    4401: no valid sign-in, or it ended; 4403: the role is not enough. A wrong origin is refused with HTTP 403.

    It reads ``app.state.bus`` (:class:`Bus`) and ``app.state.auth`` (:class:`Admits`).

    Args:
        stall_seconds: how long one message may take to leave for a client.
        grace_seconds: how long closing may take.
        max_clients: more are asked to try again later.
    """

    def __init__(self, stall_seconds: float = 20.0, grace_seconds: float = 2.0, max_clients: int = 5000) -> None:
        self._stall_seconds = stall_seconds
        self._grace_seconds = grace_seconds
        self._max_clients = max_clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket."""
        websocket = WebSocket(scope, receive, send)
        bus: Bus = scope["app"].state.bus
        admits: Admits = scope["app"].state.auth
        admission = await admits.admit(websocket)
        if admission.close_code == 1008:
            await websocket.close(1008, admission.reason)
            return
        await websocket.accept()
        code, reason = admission.close_code, admission.reason
        if code is None and bus.hub.readers >= self._max_clients:
            code, reason = TRY_AGAIN_LATER, "too many clients"
        try:
            if code is None:
                code, reason = await self._feed(bus, websocket, send, admission)
            async with asyncio.timeout(self._grace_seconds):
                await websocket.close(code, close_reason(reason))
        except (WebSocketDisconnect, TimeoutError, OSError) as error:
            _log.debug("a status client left: %r", error)

    async def _feed(self, bus: Bus, websocket: WebSocket, send: Send, admission: Admission) -> tuple[int, str]:
        try:
            async with while_admitted(admission), _listening(websocket):
                with Cursor(bus.hub, websocket.query_params.get("last_id")) as cursor:
                    await self._send_all(cursor, send)
        except SlowReaderError as error:
            return TRY_AGAIN_LATER, f"too slow: {error}"
        except EndedError as ended:
            return EXPIRED, str(ended)
        except TimeoutError:
            return TRY_AGAIN_LATER, "too slow: nothing was read for a while"
        raise AssertionError("a feed never ends by itself")

    async def _send_all(self, cursor: Cursor, send: Send) -> None:
        loop = asyncio.get_running_loop()
        sent = 0
        async with asyncio.timeout(None) as stall:
            while True:
                entry = cursor.ready()
                if entry is None:
                    stall.reschedule(None)
                    entry = await cursor.next()
                    sent = 0
                stall.reschedule(loop.time() + self._stall_seconds)
                await send({"type": "websocket.send", "text": entry.text, FRAME: entry.frame})
                sent += 1
                if sent % _BURST == 0:
                    await asyncio.sleep(0)  # a long way to catch up must not keep the others waiting


@asynccontextmanager
async def _listening(websocket: WebSocket) -> AsyncIterator[None]:
    """Discard what the client says, and end the block as soon as it leaves or the server stops.

    Raises:
        WebSocketDisconnect: it left.
    """
    loop = asyncio.get_running_loop()
    gone = asyncio.timeout(None)

    def leave(_: asyncio.Task[None]) -> None:
        if not stopped:
            gone.reschedule(loop.time())

    stopped = False
    reader = asyncio.create_task(_discard(websocket))
    reader.add_done_callback(leave)
    try:
        async with gone:
            yield
    except TimeoutError as error:
        if gone.expired():
            raise WebSocketDisconnect(1006) from error
        raise
    finally:
        stopped = True
        reader.cancel()


async def _discard(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
