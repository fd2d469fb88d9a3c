"""The thread that works on the jobs, one after the other, beside the requests."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pindet_serve.jobs.frames import Frame, UnreadableInputError, count_frames, read_frames
from pindet_serve.jobs.job import INPUT, RESULT, Job, complete_lines, read_job, write_job
from pindet_serve.letterbox import Placement
from pindet_serve.serving.batcher import Inferred, QueueFull
from pindet_serve.serving.model import Model
from pindet_serve.serving.service import Service
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings

_log = logging.getLogger(__name__)
MOST_WAITING, MOST_KEPT = 20, 200
PROGRESS_EVERY_S = 0.5


class TooManyJobs(Exception):  # noqa: N818 - a state of the server, no error
    """No more jobs are taken for now."""


class _Left(Exception):  # noqa: N818 - not an error: the job was removed, or the server stops
    pass


@dataclass(frozen=True)
class _Pending:
    frame: Frame
    model: Model
    room: contextlib.ExitStack
    placement: Placement | None = None
    answer: Future[Inferred] | None = None


class JobRunner:
    """Keeps jobs under ``root``, a folder each, and runs them in the order they came.

    A job that was running when the server ended goes on at its next frame. A job takes enough places of the queue
    for every stream, never more than half of it, and waits while requests fill it.
    """

    def __init__(self, root: Path, service: Service, settings: Settings) -> None:
        self._root, self._service, self._settings = root, service, settings
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition(threading.RLock())
        self._reserved: set[str] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._next_progress = 0.0

    def start(self) -> None:
        """Read what is on disk, then begin to work."""
        folders = [path for path in self._root.glob("*") if path.is_dir()] if self._root.is_dir() else []
        for folder in folders:
            try:
                job = read_job(folder)
            except (OSError, ValueError) as error:
                _log.warning("a job was never whole, or is damaged, and is removed: %s", error)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._jobs[job.id] = job.changed(status="queued") if job.status == "running" else job
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next frame; the job goes on when the server is started again."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(self._settings.drain_s)  # an engine that hangs is left behind

    def reserve(self) -> Path:
        """Make the folder of a new job; its input is to be written there.

        Raises:
            TooManyJobs: enough wait already.
            OSError: it can not be made.
        """
        with self._changed:
            unfinished = sum(job.status in ("queued", "running") for job in self._jobs.values())
            waiting = unfinished + len(self._reserved)
            if waiting >= MOST_WAITING:
                raise TooManyJobs(f"{waiting} jobs wait already; try again later, or delete one")
            folder = self._root / uuid.uuid4().hex
            self._reserved.add(folder.name)
        try:
            folder.mkdir(parents=True)
        except OSError:
            self.abandon(folder)
            raise
        return folder

    def abandon(self, folder: Path) -> None:
        """Give up what :meth:`reserve` made, unless it became a job."""
        with self._changed:
            self._reserved.discard(folder.name)
            if folder.name in self._jobs:
                return
        shutil.rmtree(folder, ignore_errors=True)

    def submit(self, folder: Path, kind: str, wanted: Wanted) -> Job:
        """Queue the job whose input lies in ``folder``.

        Raises:
            UnreadableInputError: the input can not be read.
        """
        total = count_frames(folder / INPUT, kind)
        job = Job(folder.name, kind, time.time(), total=total, wanted=wanted)
        write_job(folder, job)
        with self._changed:
            self._jobs[job.id] = job
            self._reserved.discard(job.id)
            self._forget_old()
            self._changed.notify()
        self._tell(job)
        return job

    def every(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._changed:
            jobs = [*self._jobs.values()]
        return sorted(jobs, key=lambda job: job.created, reverse=True)

    def get(self, job_id: str) -> Job | None:
        """One job, if there is one of that id."""
        return self._jobs.get(job_id)

    def result(self, job: Job) -> Path:
        """Where the result of a job is, one JSON object a line."""
        return self._root / job.id / RESULT

    def remove(self, job: Job) -> None:
        """Cancel a job that is not finished, and delete all of it."""
        with self._changed:
            self._jobs.pop(job.id, None)
        shutil.rmtree(self._root / job.id, ignore_errors=True)
        self._service.publish("job.deleted", {"id": job.id})

    def _forget_old(self) -> None:
        old = [job for job in self.every() if job.status in ("finished", "failed")][MOST_KEPT:]
        for job in old:
            self._jobs.pop(job.id, None)
            shutil.rmtree(self._root / job.id, ignore_errors=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and self._next() is None:
                    self._changed.wait()
                job = self._next()
            if self._stopping or job is None:
                return
            try:
                self._work(job)
            except _Left:
                continue
            except Exception as error:  # it has failed, and the next job must not wait for ever
                _log.error("job %s can not even be said to have failed", job.id, exc_info=error)

    def _next(self) -> Job | None:
        queued = [job for job in self._jobs.values() if job.status == "queued"]
        return min(queued, key=lambda job: job.created, default=None)

    def _work(self, job: Job) -> None:
        folder = self._root / job.id
        try:
            done = complete_lines(folder / RESULT)
            job = self._update(job.changed(status="running", done=done))
            with (folder / RESULT).open("a", encoding="utf-8") as output:
                job = self._detect(job, folder / INPUT, output)
            self._update(job.changed(status="finished", total=job.done))
            (folder / INPUT).unlink(missing_ok=True)
        except _Left:
            raise
        except Exception as error:  # whatever a video sets off must not end the thread
            if not isinstance(error, UnreadableInputError):
                _log.error("job %s failed", job.id, exc_info=error)
            self._update(job.changed(status="failed", error=str(error) or repr(error)))

    def _detect(self, job: Job, path: Path, output: IO[str]) -> Job:
        settings = self._settings
        pending: deque[_Pending] = deque()
        try:
            for frame in read_frames(
                path, job.kind, job.done, max_bytes=settings.max_body_bytes, max_pixels=settings.max_pixels,
                check=partial(self._check, job),
            ):  # fmt: skip
                if len(pending) >= self._places():
                    job = self._write(job, pending.popleft(), output)
                pending.append(self._submitted(frame, job))
            while pending:
                job = self._write(job, pending.popleft(), output)
        finally:
            for left in pending:
                left.room.close()
        return job

    def _places(self) -> int:
        """How many frames wait at most: enough for every stream, and never more than half of the queue."""
        enough = max(self._settings.max_batch, 2 * self._service.model.streams)
        return min(enough, max(1, self._service.batcher.capacity // 2))

    def _submitted(self, frame: Frame, job: Job) -> _Pending:
        self._check(job)
        model = self._service.model
        job.wanted.check(model.manifest)
        room = contextlib.ExitStack()
        if frame.image is None:
            return _Pending(frame, model, room)
        while True:
            try:
                room.enter_context(self._service.batcher.admission(1))
                break
            except QueueFull:
                time.sleep(0.05)
                self._check(job)
        canvas, placement = model.letterboxed(frame.image)
        return _Pending(frame, model, room, placement, self._service.batcher.submit(model, canvas, math.inf))

    def _write(self, job: Job, pending: _Pending, output: IO[str]) -> Job:
        model = pending.model
        line: dict[str, Any] = {"index": job.done, **pending.frame.name, "model_md5": model.release.bundle_md5}
        with pending.room:
            if pending.answer is None or pending.placement is None:
                line["error"] = pending.frame.error
            else:
                found = model.answer(pending.answer.result().raw, pending.placement, job.wanted)
                line |= model.described(found, pending.placement)
        output.write(json.dumps(line, ensure_ascii=False) + "\n")
        output.flush()
        job = job.changed(done=job.done + 1)
        with self._changed:
            if job.id in self._jobs:
                self._jobs[job.id] = job
        if time.monotonic() >= self._next_progress:
            self._tell(job)
        return job

    def _check(self, job: Job) -> None:
        if self._stopping or job.id not in self._jobs:
            raise _Left

    def _update(self, job: Job) -> Job:
        with self._changed:
            if job.id not in self._jobs:
                raise _Left
            self._jobs[job.id] = job
        write_job(self._root / job.id, job)
        self._tell(job)
        return job

    def _tell(self, job: Job) -> None:
        self._next_progress = time.monotonic() + PROGRESS_EVERY_S
        progress = {"id": job.id, "done": job.done, "total": job.total, "error": job.error}
        self._service.publish(f"job.{job.status}", progress)
