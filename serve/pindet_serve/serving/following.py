"""A server that follows a release file: it serves what that pins, soon after it changes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from pindet_serve.manifest import BundleError
from pindet_serve.serving.service import Busy, Service
from pindet_serve.status.bus import Bus

_NO_CHANGE = ("release.agent", "release.wanted", "release.accepted", "release.refused")
_log = logging.getLogger(__name__)


async def follow_forever(service: Service, bus: Bus, seconds: float) -> None:
    """Look every ``seconds`` at what the source pins, and at once when the bus speaks of a release, until cancelled.

    What is refused is refused once, until the source pins another release; what was rolled back stays so, too.
    """
    told = asyncio.Event()
    listening = asyncio.create_task(_listen(bus, told), name="releases")
    try:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), seconds)
            told.clear()
            await _follow(service)
    finally:
        listening.cancel()


async def _listen(bus: Bus, told: asyncio.Event) -> None:
    async with bus.subscribe() as events:
        async for event in events:
            if event.type.startswith("release.") and event.type not in _NO_CHANGE:
                told.set()


async def _follow(service: Service) -> None:
    try:
        await asyncio.to_thread(service.follow)
    except (BundleError, Busy) as error:
        _log.debug("not followed: %s", error)  # a refusal has been said; who loads by hand is not disturbed
    except Exception:
        _log.exception("a release could not be followed")
