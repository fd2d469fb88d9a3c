"""``WS /v1/stream``: frames in, detections out, never behind by more than a frame."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from pindet_serve.api.activity import Activity
from pindet_serve.api.body_room import BodyHolder, BodyRoom
from pindet_serve.api.detecting import Detecting
from pindet_serve.api.problems import Problem
from pindet_serve.api.uploads import Upload
from pindet_serve.serving.batcher import QueueFull
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings
from pindet_serve.status.admission import EXPIRED, EndedError, close_reason, while_admitted

router = APIRouter()
POLICY_VIOLATION, TOO_BIG = 1008, 1009
_NO_ROOM = {
    "error": Problem(503, "Overloaded", "other requests take all the memory that there is for images; try again").body
}


@dataclass(frozen=True)
class _Frame:
    number: int
    data: bytes | None
    held: BodyHolder


class _Latest:
    """Holds the newest frame only; an older one that nobody took is dropped. One that finds no room has no data."""

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self._frame: _Frame | None = None
        self._came = asyncio.Event()
        self.received = 0

    def put(self, data: bytes) -> None:
        self.clear()
        held = self._room.holder()
        self._frame = _Frame(self.received, data if held.take(len(data)) else None, held)
        self._came.set()
        self.received += 1

    async def take(self) -> _Frame:
        while (frame := self._frame) is None:
            await self._came.wait()
            self._came.clear()
        self._frame = None
        return frame

    def clear(self) -> None:
        if self._frame is not None:
            self._frame.held.give_back()
        self._frame = None


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket) -> None:
    """Answer each frame, a binary message that is one image file, with one JSON text.

    Query: ``score_threshold``, ``max_detections``, ``classes`` as for ``/v1/detect``. An answer is ``{frame, dropped,
    model, image_width, image_height, detections}`` or ``{frame, dropped, error}``; ``frame`` counts the frames received
    from 0, ``dropped`` those that were left out because newer ones came meanwhile; one that finds no room in memory is
    answered with the error 503. Closed with 1008 for wrong
    parameters or a text message, 1009 for a frame that is too large, 4401 without a valid sign-in or when it ends, 4403
    without the right.
    """
    detecting: Detecting = websocket.app.state.detecting
    settings: Settings = websocket.app.state.settings
    admission = await websocket.app.state.auth.admit(websocket)
    if admission.close_code == POLICY_VIOLATION:  # before it is accepted: the origin's page learns nothing
        await websocket.close(POLICY_VIOLATION, admission.reason)
        return
    await websocket.accept()
    if admission.close_code is not None:
        await websocket.close(admission.close_code, admission.reason)
        return
    try:
        wanted = _wanted(websocket)
        wanted.check(detecting.service.model.manifest)
    except ValueError as error:
        await websocket.close(POLICY_VIOLATION, close_reason(str(error)))
        return
    latest = _Latest(websocket.app.state.room)
    answering = asyncio.create_task(_answer_all(websocket, latest, detecting, settings, wanted))
    try:
        async with while_admitted(admission):
            await _receive_all(websocket, latest, settings, answering)
    except EndedError as ended:
        await websocket.close(EXPIRED, str(ended))
    finally:
        answering.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await answering
        latest.clear()


async def _receive_all(
    websocket: WebSocket, latest: _Latest, settings: Settings, answering: asyncio.Task[None]
) -> None:
    while not answering.done():
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        if data is None:
            await websocket.close(POLICY_VIOLATION, "a text message; send each frame as one binary message")
            return
        if len(data) > settings.max_body_bytes:
            await websocket.close(TOO_BIG, f"a frame exceeds {settings.max_body_mb:g} MiB")
            return
        latest.put(data)


async def _answer_all(
    websocket: WebSocket, latest: _Latest, detecting: Detecting, settings: Settings, wanted: Wanted
) -> None:
    answered = 0
    while True:
        frame = await latest.take()
        with frame.held:
            if frame.data is None:
                answer = _NO_ROOM
            else:
                answer = await _answer(frame.data, detecting, settings, wanted, websocket.app.state.activity)
        answered += 1
        numbers = {"frame": frame.number, "dropped": frame.number + 1 - answered}
        await websocket.send_text(json.dumps(numbers | answer, ensure_ascii=False))


async def _answer(
    data: bytes, detecting: Detecting, settings: Settings, wanted: Wanted, activity: Activity
) -> dict[str, Any]:
    model = detecting.service.model
    started = time.monotonic()
    try:
        wanted.check(model.manifest)
        with detecting.service.batcher.admission(1):
            deadline = started + settings.deadline_s
            found = await detecting.find(Upload("", data), model, wanted, deadline)
        activity.note(started, [found])
        if isinstance(found, Problem):
            return {"error": found.body}
        detecting.account(found, model)
    except QueueFull as full:
        return {"error": Problem(503, "Overloaded", str(full)).body}
    except ValueError as error:
        return {"error": Problem(422, "Invalid parameters", str(error)).body}
    return {"model": model.release.named} | model.described(found.detections, found.placement)


def _wanted(websocket: WebSocket) -> Wanted:
    query = websocket.query_params
    threshold, most, classes = query.get("score_threshold"), query.get("max_detections"), query.getlist("classes")
    return Wanted(
        None if threshold is None else float(threshold),
        None if most is None else int(most),
        tuple(classes) if classes else None,
    )
