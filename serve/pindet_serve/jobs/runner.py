"""The thread that works on the jobs, one after the other, beside the requests."""

from __future__ import annotations

import contextlib
import json
import logging
import math
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
from pindet_serve.jobs.job import INPUT, RESULT, Job, write_job, written
from pindet_serve.jobs.store import Held, JobStore
from pindet_serve.letterbox import Placement
from pindet_serve.serving.batcher import Inferred, QueueFull
from pindet_serve.serving.model import Model
from pindet_serve.serving.service import Service
from pindet_serve.serving.wanted import Wanted
from pindet_serve.settings import Settings

_log = logging.getLogger(__name__)
MOST_WAITING, MOST_KEPT = 20, 200
MOST_ATTEMPTS = 3
PROGRESS_EVERY_S = 0.5
LOOK_EVERY_S = 2.0
"""Between looks for what other servers were given, or left."""


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
    """Runs the jobs under ``root``, the oldest first, beside the servers that share the folder.

    A job that was running when its server ended goes on at its next frame: on the next server that has nothing to do,
    else when its own is back. A job takes enough places of the queue for every stream, never more than half of it, and
    waits while requests fill it.
    """

    def __init__(self, root: Path, service: Service, settings: Settings) -> None:
        self._store, self._service, self._settings = JobStore(root), service, settings
        self._present: Job | None = None
        """The job that is worked on; the disk tells later how far it is."""
        self._unwritten: dict[str, tuple[Job | None, Job]] = {}
        """Jobs whose end could not be written: what the disk told then, and what they are."""
        self._reserving = threading.Lock()
        self._news = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._next_progress = 0.0

    def start(self) -> None:
        """Tidy up what is on disk, then begin to work."""
        self._store.tidy()
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next frame; the job goes on elsewhere, or when the server is started again."""
        self._stopping = True
        self._news.set()
        self._thread.join(self._settings.drain_s)  # an engine that hangs is left behind

    def reserve(self) -> Held:
        """Make the folder of a new job; its input is to be written there.

        Raises:
            TooManyJobs: enough wait already.
            OSError: it can not be made.
        """
        with self._reserving:
            if self._waiting() >= MOST_WAITING:
                self._store.tidy()  # a server that was killed may have left uploads
                if (waiting := self._waiting()) >= MOST_WAITING:
                    raise TooManyJobs(f"{waiting} jobs wait already; try again later, or delete one")
            return self._store.new()

    def _waiting(self) -> int:
        return sum(not job.ended for job in self.every()) + self._store.coming()

    def give_back(self, upload: Held) -> None:
        """End what :meth:`reserve` began; of a job that did not come to be nothing is left."""
        self._store.abandon(upload)

    def submit(self, upload: Held, kind: str, wanted: Wanted, name: str = "") -> Job:
        """Queue the job whose input lies in the folder.

        Raises:
            UnreadableInputError: the input can not be read.
            OSError: it can not be kept.
        """
        total = count_frames(upload.folder / INPUT, kind)
        job = Job(uuid.uuid4().hex, kind, time.time(), total=total, wanted=wanted, name=name)
        self._tell(job)  # before anyone can begin with it
        try:
            self._store.add(upload, job)
        except OSError:
            self._tell_gone(job)
            raise
        self._news.set()
        with contextlib.suppress(OSError):  # the job is there; what is old goes another time
            for old in [other for other in self.every() if other.ended][MOST_KEPT:]:
                self._store.remove(old.id)
        return job

    def every(self) -> list[Job]:
        """All jobs, the newest first."""
        return [self._at_present(job) for job in self._store.every()]

    def get(self, job_id: str) -> Job | None:
        """One job, if there is one of that id."""
        job = self._store.get(job_id)
        return job and self._at_present(job)

    def _at_present(self, job: Job) -> Job:
        """How a job stands of which the disk tells this."""
        present = self._present
        if present is not None and present.id == job.id and not job.ended:
            return present
        told, ended = self._unwritten.get(job.id, (None, job))
        return ended if told == job else job

    def result(self, job: Job) -> Path:
        """Where the result of a job is, one JSON object a line."""
        return self._store.folder(job.id) / RESULT

    def remove(self, job: Job) -> None:
        """Cancel a job that is not finished, and delete all of it."""
        self._store.remove(job.id)
        self._unwritten.pop(job.id, None)
        self._tell_gone(job)

    def _tell_gone(self, job: Job) -> None:
        self._service.publish("job.deleted", {"id": job.id})

    def _run(self) -> None:
        while True:
            taken = self._next()
            if taken is None:
                return
            held, job = taken
            try:
                self._work(held.folder, job)
            except _Left:
                continue
            except Exception as error:  # it has failed, and the next job must not wait for ever
                _log.error("job %s can not even be said to have failed", job.id, exc_info=error)
            finally:
                self._present = None
                held.release()

    def _next(self) -> tuple[Held, Job] | None:
        """Take the oldest job that waits, as soon as there is one; ``None`` when the server stops."""
        said = ""
        while not self._stopping:
            self._news.clear()
            try:
                for job in reversed(self.every()):
                    if not job.ended and (taken := self._store.claim(job)) is not None:
                        return taken
                said = ""
            except OSError as error:  # of the folder, or of the whole machine: it may pass
                if said != (said := str(error)):
                    _log.error("the jobs can not be looked at: %s", error)
            self._news.wait(LOOK_EVERY_S)
        return None

    def _work(self, folder: Path, job: Job) -> None:
        try:
            done, unreadable = written(folder / RESULT)
            attempts = job.attempts + 1 if job.status == "running" and done == job.begun_at else 1
            job = job.changed(status="running", done=done, unreadable=unreadable, attempts=attempts, begun_at=done)
            if attempts > MOST_ATTEMPTS:
                raise UnreadableInputError(f"{MOST_ATTEMPTS} times the server ended at frame {done} of the input")
            self._update(folder, job)
            with (folder / RESULT).open("a", encoding="utf-8") as output:
                job = self._detect(folder, job, output)
            self._end(folder, job.changed(status="finished", total=job.done))
        except _Left:
            self._lay_down(folder, job)
            raise
        except Exception as error:  # whatever a video sets off must not end the thread
            if not folder.exists():
                self._lay_down(folder, job)
                raise _Left from error
            if not isinstance(error, UnreadableInputError):
                _log.error("job %s failed", job.id, exc_info=error)
            self._end_badly(folder, (self._present or job).changed(status="failed", error=str(error) or repr(error)))

    def _end(self, folder: Path, job: Job) -> None:
        self._update(folder, job)
        with contextlib.suppress(OSError):  # whoever tidies up next tries again
            (folder / INPUT).unlink()

    def _end_badly(self, folder: Path, job: Job) -> None:
        try:
            self._end(folder, job)
        except OSError:
            self._unwritten[job.id] = self._store.get(job.id), job
            raise

    def _lay_down(self, folder: Path, job: Job) -> None:
        """Leave a job to whoever takes it next: that this server stops is not the job's fault."""
        if not folder.exists():
            self._tell_gone(job)  # what was told of its progress may have come after the same words of who removed it
            return
        with contextlib.suppress(OSError):  # else it is begun again as if the server had been killed
            write_job(folder, (self._present or job).changed(status="queued"))

    def _detect(self, folder: Path, job: Job, output: IO[str]) -> Job:
        settings = self._settings
        pending: deque[_Pending] = deque()
        try:
            for frame in read_frames(
                folder / INPUT, job.kind, job.done, max_bytes=settings.max_body_bytes, max_pixels=settings.max_pixels,
                check=partial(self._check, folder),
            ):  # fmt: skip
                if len(pending) >= self._places():
                    job = self._write(folder, job, pending.popleft(), output)
                pending.append(self._submitted(folder, frame, job))
            while pending:
                job = self._write(folder, job, pending.popleft(), output)
        finally:
            for left in pending:
                left.room.close()
        return job

    def _places(self) -> int:
        """How many frames wait at most: enough for every stream, and never more than half of the queue."""
        enough = max(self._settings.max_batch, 2 * self._service.model.streams)
        return min(enough, max(1, self._service.batcher.capacity // 2))

    def _submitted(self, folder: Path, frame: Frame, job: Job) -> _Pending:
        self._check(folder)
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
                self._check(folder)
        canvas, placement = model.letterboxed(frame.image)
        return _Pending(frame, model, room, placement, self._service.batcher.submit(model, canvas, math.inf))

    def _write(self, folder: Path, job: Job, pending: _Pending, output: IO[str]) -> Job:
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
        job = self._present = job.changed(done=job.done + 1, unreadable=job.unreadable + ("error" in line))
        if time.monotonic() >= self._next_progress:
            self._update(folder, job)
        return job

    def _check(self, folder: Path) -> None:
        if self._stopping or not folder.exists():
            raise _Left

    def _update(self, folder: Path, job: Job) -> None:
        if not job.ended:
            self._present = job
        try:
            write_job(folder, job)
        except FileNotFoundError:
            self._check(folder)
            raise
        self._tell(job)
        if job.ended and not folder.exists():
            self._tell_gone(job)

    def _tell(self, job: Job) -> None:
        self._next_progress = time.monotonic() + PROGRESS_EVERY_S
        told = ("id", "name", "done", "unreadable", "total", "error")
        self._service.publish(f"job.{job.status}", {each: getattr(job, each) for each in told})
