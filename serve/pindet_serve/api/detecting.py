"""From the bytes of an image to its detections: decode, infer in the batcher's threads, encode."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pindet_serve.api.metrics import Metrics
from pindet_serve.api.problems import Problem
from pindet_serve.api.tracing import Tracing
from pindet_serve.api.uploads import Upload
from pindet_serve.detections import Detections
from pindet_serve.images import Image, ImageDecodeError
from pindet_serve.letterbox import Placement
from pindet_serve.profile import measure
from pindet_serve.serving.batcher import Expired, Inferred
from pindet_serve.serving.cpus import usable_cpus
from pindet_serve.serving.headers import TooManyPixelsError, UnsupportedTypeError, decode_checked
from pindet_serve.serving.model import Model
from pindet_serve.serving.service import Service
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """One image's answer to what was wanted, with the letterboxed image."""

    detections: Detections
    wanted: Wanted
    placement: Placement
    decode_s: float
    inferred: Inferred
    canvas: Image


@dataclass
class _Work:
    """One image file on its way to the model."""

    data: bytes
    model: Model
    max_pixels: int
    canvas: Image = field(init=False)
    placement: Placement = field(init=False)
    decode_s: float = field(init=False)

    def prepare(self) -> Image:
        """Decode and letterbox it."""
        started = time.monotonic()
        image = decode_checked(self.data, self.max_pixels)
        self.canvas, self.placement = self.model.letterboxed(image)
        self.decode_s = time.monotonic() - started
        return self.canvas


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
        self.pool = ThreadPoolExecutor(usable_cpus(), thread_name_prefix="decode")

    def close(self) -> None:
        """End the pool."""
        self.pool.shutdown(cancel_futures=True)

    async def find(self, upload: Upload, model: Model, wanted: Wanted, deadline: float) -> Found | Problem:
        """Detect in one image; room for it has to be held already.

        Args:
            upload: the image file.
            model: what is to answer.
            wanted: limits, checked against the model.
            deadline: time of ``time.monotonic`` from which it is not worth while.

        Returns:
            the answer, or why the image has none. That is not raised: its traceback would lead to this frame, which
            holds it, and so keep the image until Python looks for such circles.
        """
        if upload.problem is not None:
            return self._counted(upload.problem)
        work = _Work(upload.data, model, self._settings.max_pixels)
        try:
            inferred = await self._inferred(work, deadline)
        except Exception as error:
            return self._counted(_problem(error, self._settings))
        detections = model.answer(inferred.raw, work.placement, wanted)
        found = Found(detections, wanted, work.placement, work.decode_s, inferred, work.canvas)
        if self._tracing is not None:
            self._tracing.phases(_phases(found, model), **{"pindet.batch": inferred.batch})
        return found

    def _counted(self, problem: Problem) -> Problem:
        self._metrics.refusals.labels(str(problem.status)).inc()
        return problem

    def account(self, found: Found, model: Model) -> None:
        """Count an answer, also for how far the model drifts; who waits for the answer need not wait for this."""
        for phase, seconds in _phases(found, model).items():
            self._metrics.observe_phase(phase, seconds)
        self._metrics.observe_answer(model.manifest.classes, found.detections)
        if model.drift is not None:
            # At the model's own limits, whatever the request wanted: else the requests would drift, not the world.
            own = found.detections
            if found.wanted != Wanted():
                own = model.answer(found.inferred.raw, found.placement, Wanted())
            model.drift.add(measure(found.canvas, found.placement, own))

    async def _inferred(self, work: _Work, deadline: float) -> Inferred:
        if work.model.streams > 1:
            try:
                return await asyncio.wrap_future(self.service.batcher.submit(work.model, work.prepare, deadline))
            except asyncio.CancelledError:
                work.data = b""  # the queue may hold the rest for a while; the room of the body is given back now
                raise
        queued = self.pool.submit(self._queue, work, deadline)
        try:
            answer = await asyncio.wrap_future(queued)
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            queued.add_done_callback(_take_back)
            raise

    def _queue(self, work: _Work, deadline: float) -> Future[Inferred]:
        """Decode an image and queue it: from the pool, for which the event loop need not be woken in between."""
        if time.monotonic() >= deadline:
            raise Expired
        return self.service.batcher.submit(work.model, work.prepare(), deadline)


def _phases(found: Found, model: Model) -> dict[str, float]:
    """How long each phase took, in seconds, in the order in which they were gone through."""
    phases = {"decode": found.decode_s, "queue": found.inferred.queue_s}
    if model.streams > 1:
        phases = dict(reversed(phases.items()))
    return phases | {"inference": found.inferred.inference_s}


def _take_back(queued: Future[Future[Inferred]]) -> None:
    """Nobody waits for the image any more; it may have been queued since."""
    if not queued.cancelled() and queued.exception() is None:
        queued.result().cancel()


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
