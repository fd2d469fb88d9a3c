"""Whether a socket may be opened, and how long it may stay open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from starlette.websockets import WebSocket

EXPIRED = 4401
FORBIDDEN = 4403
LOOK_SECONDS = 3.0
"""Between looks whether the right to an open socket still stands."""
MOST_REASON_BYTES = 123
"""Of the reason that a socket is closed with (RFC 6455, 5.5)."""


@dataclass(frozen=True)
class Admission:
    """Whether a client may open a socket.

    Attributes:
        close_code: ``None`` when it may; else the code that its socket is closed with, 1008 before it is accepted.
        reason: what the client is told.
        expires: when its right ends, seconds since 1970; ``None`` for never.
        still_valid: whether its right still stands, asked every few seconds; ``None`` where nothing takes it away.
    """

    close_code: int | None = None
    reason: str = ""
    expires: float | None = None
    still_valid: Callable[[], bool] | None = None


class Admits(Protocol):
    """Decides who may read the feed."""

    async def admit(self, websocket: WebSocket) -> Admission:
        """Look at the origin, and the ticket or token, of a socket that is not accepted yet."""
        ...


class EndedError(Exception):
    """The right to an open socket has ended; the message is what its client is told, with the code ``EXPIRED``."""


@asynccontextmanager
async def while_admitted(admission: Admission, look_seconds: float | None = None) -> AsyncIterator[None]:
    """End the block when the right to it ends, with the sign-in or because an administrator took it away.

    Args:
        admission: the right.
        look_seconds: between looks whether it still stands; ``LOOK_SECONDS`` when ``None``.

    Raises:
        EndedError: it has ended.
    """
    loop = asyncio.get_running_loop()
    seconds = LOOK_SECONDS if look_seconds is None else look_seconds
    looking: asyncio.TimerHandle | None = None
    taken_away = False

    def look(still_valid: Callable[[], bool]) -> None:
        nonlocal looking, taken_away
        if ending.expired():
            return
        taken_away = not still_valid()
        if taken_away:
            ending.reschedule(loop.time())
        else:  # no task of its own: there may be thousands of sockets
            looking = loop.call_later(seconds, look, still_valid)

    ending = asyncio.timeout(None if admission.expires is None else admission.expires - time.time())
    try:
        async with ending:
            if admission.still_valid is not None:
                looking = loop.call_later(seconds, look, admission.still_valid)
            yield
    except TimeoutError as error:
        if not ending.expired():
            raise
        raise EndedError("the user was changed or removed" if taken_away else "the sign-in expired") from error
    finally:
        if looking is not None:
            looking.cancel()


def close_reason(text: str) -> str:
    """A text, cut to what a close can bear: 123 bytes of UTF-8, of whole characters."""
    return text.encode("utf-8", "replace")[:MOST_REASON_BYTES].decode("utf-8", "ignore")
