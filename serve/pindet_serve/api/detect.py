"""``POST /v1/detect``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send

from pindet_serve.api import pictures
from pindet_serve.api.detecting import Detecting, Found
from pindet_serve.api.limits import Limits, checked
from pindet_serve.api.metrics import Metrics
from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import HEADERS, DetectAnswer, problems
from pindet_serve.api.uploads import RAW_TYPES, Upload, read_uploads
from pindet_serve.auth.guard import Guard
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.require import require
from pindet_serve.history.records import DetectionRecord
from pindet_serve.images import Image
from pindet_serve.serving.batcher import QueueFull
from pindet_serve.serving.headers import decode_checked
from pindet_serve.serving.model import Model
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings

PATH = "/v1/detect"
router = APIRouter(tags=["detect"])
Viewer = Annotated[Principal, Depends(require("viewer"))]
_BINARY = {"type": "string", "format": "binary"}
_PARTS = {
    "type": "object",
    "properties": {"images": {"type": "array", "items": _BINARY, "minItems": 1}},
    "required": ["images"],
}
_URLS = {
    "type": "object",
    "description": "where the server allows it: images that it fetches from hosts that it lists",
    "properties": {"urls": {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 1}},
    "required": ["urls"],
}
_BODY = {
    "required": True,
    "content": {"multipart/form-data": {"schema": _PARTS}, "application/json": {"schema": _URLS}}
    | {name: {"schema": _BINARY} for name in RAW_TYPES},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One answer per image; or, with Accept: image/jpeg or image/png, the picture with its boxes",
        "model": DetectAnswer,
        "headers": HEADERS,
        "content": {"image/jpeg": {"schema": _BINARY}, "image/png": {"schema": _BINARY}},
    }
}


@router.post(
    PATH,
    responses=_ANSWERS | problems(400, 401, 403, 406, 408, 413, 415, 422, 424, 500, 503),
    openapi_extra={"requestBody": _BODY},
)
async def detect(
    request: Request,
    viewer: Viewer,
    limits: Limits,
    record: Annotated[bool, Query(description="whether history keeps the answer; false for trying something")] = True,
) -> Response:
    """Find the objects in one or many images.

    One image: its error is the answer's. Many: each has its own answer or error, and the status is 200.
    """
    state = request.app.state
    detecting: Detecting = state.detecting
    settings: Settings = state.settings
    started = time.monotonic()
    batcher = detecting.service.batcher
    try:
        batcher.check_room()  # before the body is read: a full server spends nothing on it
        uploads = await read_uploads(request, settings)
        deadline = time.monotonic() + settings.deadline_s  # a slow way here is the body's limit, not the image's
        model = request.state.model = detecting.service.model
        wanted = checked(limits, model)
        picture = _picture_type(request.headers.get("accept", ""), len(uploads))
        with batcher.admission(len(uploads)):
            finds = [detecting.find(upload, model, wanted, deadline) for upload in uploads]
            results = await _unless_gone(request, finds)
    except QueueFull as full:
        headers = {"Retry-After": str(full.retry_after_s)}
        raise Problem(503, "Overloaded", str(full), headers=headers) from None
    if len(results) == 1 and isinstance(results[0], Problem):
        raise results.pop()  # type: ignore[misc]  # a problem; held here, it would hold this frame and the image
    images = _images(uploads, results, model)
    if picture and isinstance(results[0], Found):
        image = partial(decode_checked, uploads[0].data, settings.max_pixels)
        response = await _picture(detecting, image, results[0], model, picture)
    else:
        response = _json(images, model, state.metrics)

    async def account() -> None:
        state.activity.note(started, results)
        for entry in _records(request, viewer, images, model) if record else ():
            state.history.record(entry)
        for found in results:
            if isinstance(found, Found):
                detecting.account(found, model)

    response.background = BackgroundTask(account)  # once the client has its answer
    return response


async def direct(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request of this route that has no parameters, as an application of its own.

    To find the route and to see that there are no parameters takes FastAPI half a millisecond. Whatever is wrong with a
    request of this route is a problem: the other exceptions that FastAPI makes answers of do not come up here.
    """
    scope["route"] = _ROUTE
    request = Request(scope, receive, send)
    guard: Guard = request.app.state.auth
    try:
        response = await detect(request, await guard.principal(request, "viewer"), Wanted())
    except Problem as problem:
        response = problem.response()
    await response(scope, receive, send)


(_ROUTE,) = router.routes


def _picture_type(accept: str, images: int) -> str:
    """``image/jpeg`` or ``image/png`` when the client wants a picture rather than JSON, else empty."""
    types = [item.split(";")[0].strip().lower() for item in accept.split(",")]
    if not any(name.startswith("image/") for name in types) or "application/json" in types or "*/*" in types:
        return ""
    if images > 1:
        raise Problem(406, "One image a picture", f"{images} images were sent; a picture is given for one")
    if not {"image/*", "image/jpeg", "image/png"} & set(types):
        raise Problem(406, "No such picture", f"Accept is {accept!r}; image/jpeg and image/png are given")
    return "image/png" if "image/png" in types and "image/jpeg" not in types else "image/jpeg"


async def _unless_gone(request: Request, finds: list[Any]) -> list[Found | Problem]:
    """Wait for the images; when the client goes away, take back those that are not run yet."""
    # One alone needs no gathering, which costs the event loop another round.
    alone = len(finds) == 1
    work: asyncio.Future[Any] = (
        asyncio.ensure_future(finds[0]) if alone else asyncio.gather(*finds, return_exceptions=True)
    )
    gone: asyncio.Future[Any] = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise Problem(499, "Client closed request", "the client went away before it was answered")
        results: list[Any] = [work.result()] if alone else work.result()
    finally:
        gone.cancel()
        work.cancel()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Problem):
            raise result
    return results


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _picture(
    detecting: Detecting, image: Callable[[], Image], found: Found, model: Model, media_type: str
) -> Response:
    def drawn() -> bytes:
        # Decoded again: while pictures wait to be drawn only their files are in memory.
        return pictures.encode(pictures.draw(image(), found.detections, model.manifest.classes), media_type)

    data = await asyncio.get_running_loop().run_in_executor(detecting.pool, drawn)
    return Response(data, media_type=media_type)


def _images(uploads: list[Upload], results: list[Found | Problem], model: Model) -> list[dict[str, Any]]:
    return [
        {"name": upload.name} | ({"error": result.body} if isinstance(result, Problem) else _answer(result, model))
        for upload, result in zip(uploads, results, strict=True)
    ]


def _records(
    request: Request, viewer: Principal, images: list[dict[str, Any]], model: Model
) -> Iterator[DetectionRecord]:
    for image in images:
        if "error" not in image:
            timing = image["timing"]
            yield DetectionRecord(
                request_id=request.state.request_id,
                actor=viewer.name,
                model_version=model.release.version,
                model_md5=model.release.bundle_md5,
                image_width=image["image_width"],
                image_height=image["image_height"],
                elapsed_ms=timing["decode_ms"] + timing["queue_ms"] + timing["inference_ms"],
                objects=image["detections"],
                image_name=image["name"] or None,
            )


def _json(images: list[dict[str, Any]], model: Model, metrics: Metrics) -> Response:
    started = time.monotonic()
    answer = {"model": model.release.named, "images": images}
    # What can not be encoded becomes its escape, which JSON allows.
    body = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
    metrics.observe_phase("encode", time.monotonic() - started)
    return Response(body, media_type="application/json")


def _answer(found: Found, model: Model) -> dict[str, Any]:
    timing = {
        "decode_ms": round(1000 * found.decode_s, 2),
        "queue_ms": round(1000 * found.inferred.queue_s, 2),
        "inference_ms": round(1000 * found.inferred.inference_s, 2),
        "batch": found.inferred.batch,
    }
    return model.described(found.detections, found.placement) | {"timing": timing}
