"""The one thread that infers, and the bounded queue before it."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from pindet_serve.images import Image
from pindet_serve.serving.model import Model, Raw

_log = logging.getLogger(__name__)


class QueueFull(Exception):  # noqa: N818 - a state of the server, no error of it
    """No room for more images; ``retry_after_s`` says when there should be."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Expired(Exception):  # noqa: N818 - a state of the image, no error
    """The image waited until its deadline and was not inferred."""


@dataclass(frozen=True)
class Inferred:
    """What the engine gave for one image, and what that took (seconds; images in its batch)."""

    raw: Raw
    queue_s: float
    inference_s: float
    batch: int


@dataclass(eq=False)
class _Item:
    model: Model
    canvas: Image
    deadline: float
    answer: Future[Inferred]
    submitted: float = field(default_factory=time.monotonic)


class Batcher:
    """Gathers waiting images into batches and runs them, in one thread of its own.

    It is greedy: when the engine is free it takes what waits, at most ``max_batch`` images, and waits for no more
    unless ``max_wait_s`` says so. Images that expired or were cancelled while waiting are never run. When a batch
    fails, each of its images is run alone, so that only a bad one fails.

    Args:
        max_batch: most images in one inference.
        max_wait_s: how long an incomplete batch waits for more images.
        capacity: most images admitted and not yet answered.
        patience_s: images that would have to wait longer than that, as far as can be told, are not admitted.
        observe: called after each inference with its number of images and its seconds.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        max_wait_s: float,
        capacity: int,
        observe: Callable[[int, float], None],
        patience_s: float = math.inf,
    ) -> None:
        self._max_batch, self._max_wait_s, self.capacity = max_batch, max_wait_s, capacity
        self._patience_s = patience_s
        self._observe = observe
        self._waiting: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._admitted = 0
        self._seconds_per_image = 0.05
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Start the inference thread."""
        self._thread.start()

    def stop(self, seconds: float = 10) -> None:
        """Answer what waits, then end the thread; an engine that hangs is left behind after some seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether the inference thread runs."""
        return self._thread.is_alive()

    @property
    def admitted(self) -> int:
        """Images admitted and not yet answered."""
        return self._admitted

    @contextlib.contextmanager
    def admission(self, images: int) -> Iterator[None]:
        """Hold room for some images from before they are decoded until they are answered.

        Raises:
            QueueFull: there is no room; nothing is held.
        """
        with self._changed:
            self._check_room(images)
            self._admitted += images
        try:
            yield
        finally:
            with self._changed:
                self._admitted -= images

    def check_room(self) -> None:
        """Raise QueueFull when not even one image more would be admitted."""
        with self._changed:
            self._check_room(1)

    def submit(self, model: Model, canvas: Image, deadline: float) -> Future[Inferred]:
        """Queue one letterboxed image; ``deadline`` is a time of ``time.monotonic``.

        The future may be cancelled until the image runs. It fails with :class:`Expired`, or as the engine fails.
        """
        item = _Item(model, canvas, deadline, Future())
        with self._changed:
            if self._stopping:
                raise RuntimeError("the batcher is stopped")
            self._waiting.append(item)
            self._changed.notify()
        return item.answer

    def _check_room(self, images: int) -> None:
        wait_s = self._admitted * self._seconds_per_image
        if self._admitted + images > self.capacity or wait_s > self._patience_s:
            raise QueueFull(max(1, math.ceil(min(wait_s, 60))))

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if batch is None:
                return
            if batch:
                self._infer(batch)
            del batch  # it would hold the model that ran it, perhaps long after another took over

    def _next_batch(self) -> list[_Item] | None:
        """Images of one model that are to be run now; ``None`` when the thread is to end."""
        with self._changed:
            while not self._waiting:
                if self._stopping:
                    return None
                self._changed.wait()
            self._wait_for_more()
            batch: list[_Item] = []
            while self._waiting and len(batch) < self._max_batch:
                if batch and self._waiting[0].model is not batch[0].model:
                    break
                item = self._waiting.popleft()
                if self._is_wanted(item):
                    batch.append(item)
            return batch

    def _wait_for_more(self) -> None:
        until = self._waiting[0].submitted + self._max_wait_s
        while len(self._waiting) < self._max_batch and not self._stopping:
            left = until - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                return

    def _infer(self, batch: list[_Item]) -> None:
        started = time.monotonic()
        try:
            answers = batch[0].model.infer([item.canvas for item in batch])
        except Exception as error:  # an engine's errors have no common type
            self._fail(batch, error)
            return
        seconds = time.monotonic() - started
        self._seconds_per_image += 0.2 * (seconds / len(batch) - self._seconds_per_image)
        for item, raw in zip(batch, answers, strict=True):
            item.answer.set_result(Inferred(raw, started - item.submitted, seconds, len(batch)))
        self._observe(len(batch), seconds)

    def _fail(self, batch: list[_Item], error: Exception) -> None:
        if len(batch) == 1:
            _log.error("inference failed", exc_info=error)
            batch[0].answer.set_exception(error)
            return
        for item in batch:
            self._infer([item])

    def _is_wanted(self, item: _Item) -> bool:
        """Claim an image for running, unless it was cancelled or would come after its deadline."""
        if not item.answer.set_running_or_notify_cancel():
            return False
        # A wrong estimate must not keep everything from running, and so from being corrected.
        expected_s = min(self._seconds_per_image * self._max_batch, (item.deadline - item.submitted) / 4)
        if time.monotonic() + expected_s < item.deadline:
            return True
        item.answer.set_exception(Expired())
        return False
