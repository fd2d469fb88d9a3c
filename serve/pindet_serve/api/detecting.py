"""From the bytes of an image to its detections: decode in a pool, infer in the batcher's threads, encode."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pindet_serve.api.metrics import Metrics
from pindet_serve.api.problems import Problem
from pindet_serve.api.tracing import Tracing
from pindet_serve.api.uploads import Upload
from pindet_serve.detections import Detections
from pindet_serve.images import Image, ImageDecodeError
from pindet_serve.letterbox import Placement
from pindet_serve.profile import measure
from pindet_serve.serving.batcher import Expired, Inferred
from pindet_serve.serving.headers import TooManyPixelsError, UnsupportedTypeError, decode_checked
from pindet_serve.serving.model import Model
from pindet_serve.serving.service import Service
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """One image's answer, with the letterboxed image and, if it was to be kept, the decoded one."""

    detections: Detections
    placement: Placement
    decode_s: float
    inferred: Inferred
    canvas: Image
    image: Image | None


@dataclass(frozen=True)
class _Prepared:
    """An image that waits for its inference, and the seconds that decoding and letterboxing it took."""

    canvas: Image
    placement: Placement
    decode_s: float
    answer: Future[Inferred]
    image: Image | None


class Detecting:
    """Takes images through the phases.

    Args:
        service: gives the model and the batcher.
        settings: the deadline and the largest image.
        metrics: told how long each phase took.
        tracing: told it too, where there is one.
    """

    def __init__(
        self, service: Service, settings: Settings, metrics: Metrics, tracing: Tracing | None = None
    ) -> None:
        self.service = service
        self._settings, self._metrics, self._tracing = settings, metrics, tracing
        self.pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")

    def close(self) -> None:
        """End the pool."""
        self.pool.shutdown(cancel_futures=True)

    async def find(self, upload: Upload, model: Model, wanted: Wanted, deadline: float, keep: bool = False) -> Found:
        """Detect in one image; room for it has to be held already.

        Args:
            upload: the image file.
            model: what is to answer.
            wanted: limits, checked against the model.
            deadline: time of ``time.monotonic`` from which it is not worth while.
            keep: whether the decoded image is wanted too.

        Raises:
            Problem: the image can not be answered.
        """
        if upload.problem is not None:
            self._metrics.refusals.labels(str(upload.problem.status)).inc()
            raise upload.problem
        try:
            prepared, inferred = await self._inferred(upload.data, model, deadline, keep)
        except Exception as error:
            problem = _problem(error, self._settings)
            self._metrics.refusals.labels(str(problem.status)).inc()
            raise problem from error
        placement = prepared.placement
        found = model.answer(inferred.raw, placement, wanted)
        phases = {"decode": prepared.decode_s, "queue": inferred.queue_s, "inference": inferred.inference_s}
        for phase, seconds in phases.items():
            self._metrics.phases.labels(phase).observe(seconds)
        if self._tracing is not None:
            self._tracing.phases(phases, **{"pindet.batch": inferred.batch})
        self._metrics.observe_answer(model.manifest.classes, found)
        return Found(found, placement, prepared.decode_s, inferred, prepared.canvas, prepared.image)

    def follow_drift(self, found: Found, model: Model) -> None:
        """Take an answer into account for how far the model drifts; who waits for the answer need not wait for this."""
        if model.drift is not None:
            # At the model's own limits, whatever the request wanted: else the requests would drift, not the world.
            own = model.answer(found.inferred.raw, found.placement, Wanted())
            model.drift.add(measure(found.canvas, found.placement, own))

    async def _inferred(self, data: bytes, model: Model, deadline: float, keep: bool) -> tuple[_Prepared, Inferred]:
        work = self.pool.submit(self._prepare, data, model, deadline, keep)
        try:
            prepared = await asyncio.wrap_future(work)
            return prepared, await asyncio.wrap_future(prepared.answer)
        except asyncio.CancelledError:
            work.add_done_callback(_take_back)
            raise

    def _prepare(self, data: bytes, model: Model, deadline: float, keep: bool) -> _Prepared:
        """Decode an image and queue it: from the pool, for which the event loop need not be woken in between."""
        started = time.monotonic()
        if started >= deadline:
            raise Expired
        image = decode_checked(data, self._settings.max_pixels)
        canvas, placement = model.letterboxed(image)
        decode_s = time.monotonic() - started
        answer = self.service.batcher.submit(model, canvas, deadline)
        return _Prepared(canvas, placement, decode_s, answer, image if keep else None)


def _take_back(work: Future[_Prepared]) -> None:
    """Nobody waits for the image any more; it may have been queued since."""
    if not work.cancelled() and work.exception() is None:
        work.result().answer.cancel()


def _problem(error: Exception, settings: Settings) -> Problem:
    match error:
        case UnsupportedTypeError():
            return Problem(415, "Unsupported type", str(error))
        case TooManyPixelsError():
            return Problem(413, "Too many pixels", str(error))
        case ImageDecodeError():
            return Problem(400, "Not an image", str(error))
        case Expired():
            detail = f"the image was not inferred within {settings.deadline_s:g} s"
            return Problem(503, "Overloaded", detail, headers={"Retry-After": "1"})
        case _:
            _log.error("an image could not be answered", exc_info=error)
            return Problem(500, "Inference failed", "the model failed on this image; the server's log holds the cause")
