"""The threads that infer, and the bounded queue before them."""

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

Prepare = Callable[[], Image]
"""Gives a letterboxed image when it is to run."""


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
    image: Image | Prepare
    deadline: float
    answer: Future[Inferred]
    submitted: float = field(default_factory=time.monotonic)


class Batcher:
    """Hands waiting images to the model, in threads of its own.

    It is greedy: when the engine is free it takes what waits, at most ``max_batch`` images, and waits for no more
    unless ``max_wait_s`` says so. A model with several streams is given one image on each, as soon as one is free: no
    image then waits until others of its batch are done. Images that expired or were cancelled while waiting are never
    run. When a batch fails, each of its images is run alone, so that only a bad one fails.

    Args:
        streams: most inferences beside each other; a model with fewer runs as many as it has.
        max_batch: most images in one inference of a model with one stream.
        max_wait_s: how long an incomplete batch waits for more images.
        capacity: most images admitted and not yet answered.
        patience_s: images that would have to wait longer than that, as far as can be told, are not admitted.
        observe: called after each inference with its number of images and its seconds.
    """

    def __init__(
        self,
        *,
        streams: int,
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
        self._lock = threading.Lock()
        self._idle, self._arrived = threading.Condition(self._lock), threading.Condition(self._lock)
        self._running = 0
        self._admitted = 0
        self._seconds_per_image = 0.05
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"inference-{number}", daemon=True) for number in range(streams)
        ]

    def start(self) -> None:
        """Start the inference threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 10) -> None:
        """Answer what waits, then end the threads; an engine that hangs is left behind after some seconds."""
        with self._lock:
            self._stopping = True
            self._idle.notify_all()
            self._arrived.notify()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()))

    @property
    def alive(self) -> bool:
        """Whether the inference threads run."""
        return all(thread.is_alive() for thread in self._threads)

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
        with self._lock:
            self._check_room(images)
            self._admitted += images
        try:
            yield
        finally:
            with self._lock:
                self._admitted -= images

    def check_room(self) -> None:
        """Raise QueueFull when not even one image more would be admitted."""
        with self._lock:
            self._check_room(1)

    def submit(self, model: Model, image: Image | Prepare, deadline: float) -> Future[Inferred]:
        """Queue one letterboxed image.

        Args:
            model: what is to run.
            image: uint8 ``[H, W, 3]``, or what makes it once it is its turn. The latter is for a model with several
                streams: a core that takes an image from its file to its answer hands nothing over in between.
            deadline: a time of ``time.monotonic``.

        Returns:
            a future that may be cancelled until the image runs, also while it is made. It fails with
            :class:`Expired`, or as what makes the image or the engine fails.
        """
        item = _Item(model, image, deadline, Future())
        with self._lock:
            if self._stopping:
                raise RuntimeError("the batcher is stopped")
            self._waiting.append(item)
            self._idle.notify()
            self._arrived.notify()
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
            with self._lock:
                self._running -= 1
            del batch  # it would hold the model that ran it, perhaps long after another took over

    def _next_batch(self) -> list[_Item] | None:
        """Images of one model that are to be run now; ``None`` when the thread is to end."""
        with self._lock:
            while not self._waiting or self._running >= self._waiting[0].model.streams:
                if self._stopping and not self._waiting:
                    self._idle.notify_all()  # those that waited for others to finish
                    return None
                self._idle.wait()
            self._running += 1
            most = self._max_batch if self._waiting[0].model.streams == 1 else 1
            self._wait_for_more(most)
            batch: list[_Item] = []
            while self._waiting and len(batch) < most:
                if batch and self._waiting[0].model is not batch[0].model:
                    break
                item = self._waiting.popleft()
                if self._is_worthwhile(item):
                    batch.append(item)
            if self._waiting:
                self._idle.notify()
            return batch

    def _wait_for_more(self, most: int) -> None:
        until = self._waiting[0].submitted + self._max_wait_s
        while len(self._waiting) < most and not self._stopping:
            left = until - time.monotonic()
            if left <= 0 or not self._arrived.wait(left):
                return

    def _infer(self, batch: list[_Item]) -> None:
        taken = time.monotonic()
        canvases = self._canvases(batch)
        if batch:
            self._run_model(batch, canvases, taken)

    def _run_model(self, batch: list[_Item], canvases: list[Image], taken: float) -> None:
        started, beside = time.monotonic(), self._running
        # A thread that still decodes needs its core as much as one that infers.
        alone = beside == 1 and not self._waiting
        try:
            answers = batch[0].model.infer(canvases, alone=alone)
        except Exception as error:  # an engine's errors have no common type
            self._fail(batch, canvases, error)
            return
        ended = time.monotonic()
        self._seconds_per_image += 0.2 * ((ended - taken) / len(batch) / beside - self._seconds_per_image)
        for item, raw in zip(batch, answers, strict=True):
            item.answer.set_result(Inferred(raw, taken - item.submitted, ended - started, len(batch)))
        self._observe(len(batch), ended - started)

    def _canvases(self, batch: list[_Item]) -> list[Image]:
        """Claim the images of a batch; one that can not be made, or has meanwhile lapsed, leaves it."""
        canvases: list[Image] = []
        for item in tuple(batch):
            image = item.image
            try:
                canvas = image() if callable(image) else image
            except Exception as error:  # whatever is wrong with what was sent
                batch.remove(item)
                if item.answer.set_running_or_notify_cancel():
                    item.answer.set_exception(error)
                del item  # the error's traceback leads here: it would keep alive the future that holds the error
                continue
            if self._is_worthwhile(item) and item.answer.set_running_or_notify_cancel():
                canvases.append(canvas)
            else:
                batch.remove(item)
        return canvases

    def _fail(self, batch: list[_Item], canvases: list[Image], error: Exception) -> None:
        if len(batch) == 1:
            _log.error("inference failed", exc_info=error)
            batch[0].answer.set_exception(error)
            return
        for item, canvas in zip(batch, canvases, strict=True):
            self._run_model([item], [canvas], time.monotonic())

    def _is_worthwhile(self, item: _Item) -> bool:
        """Whether an image is still waited for; one that would come after its deadline fails here."""
        if item.answer.cancelled():
            return False
        # A wrong estimate must not keep everything from running, and so from being corrected.
        streams = item.model.streams
        at_once = self._max_batch if streams == 1 else streams
        expected_s = min(self._seconds_per_image * at_once, (item.deadline - item.submitted) / 4)
        if time.monotonic() + expected_s < item.deadline:
            return True
        if item.answer.set_running_or_notify_cancel():
            item.answer.set_exception(Expired())
        return False
