"""From the bytes of an image to its detections: decode in a pool, infer in the batcher's threads, encode."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

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
    """One image's answer, with the decoded image if it was to be kept."""

    detections: Detections
    placement: Placement
    decode_s: float
    inferred: Inferred
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
        loop = asyncio.get_running_loop()
        if upload.problem is not None:
            self._metrics.refusals.labels(str(upload.problem.status)).inc()
            raise upload.problem
        try:
            prepared = await loop.run_in_executor(self.pool, self._prepare, upload.data, model, deadline, keep)
            canvas, placement, decode_s, image = prepared
            inferred = await asyncio.wrap_future(self.service.batcher.submit(model, canvas, deadline))
        except Exception as error:
            problem = _problem(error, self._settings)
            self._metrics.refusals.labels(str(problem.status)).inc()
            raise problem from error
        found = model.answer(inferred.raw, placement, wanted)
        phases = {"decode": decode_s, "queue": inferred.queue_s, "inference": inferred.inference_s}
        for phase, seconds in phases.items():
            self._metrics.phases.labels(phase).observe(seconds)
        if self._tracing is not None:
            self._tracing.phases(phases, **{"pindet.batch": inferred.batch})
        self._metrics.observe_answer(model.manifest.classes, found)
        if model.drift is not None:
            # At the model's own limits, whatever this request wanted: else the requests would drift, not the world.
            own = found if wanted == Wanted() else model.answer(inferred.raw, placement, Wanted())
            model.drift.add(measure(canvas, placement, own))
        return Found(found, placement, decode_s, inferred, image)

    def _prepare(self, data: bytes, model: Model, deadline: float, keep: bool) -> tuple[Image, Placement, float, Any]:
        started = time.monotonic()
        if started >= deadline:
            raise Expired
        image = decode_checked(data, self._settings.max_pixels)
        canvas, placement = model.letterboxed(image)
        return canvas, placement, time.monotonic() - started, image if keep else None


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
