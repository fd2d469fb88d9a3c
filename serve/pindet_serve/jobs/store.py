"""The jobs on disk, a folder each, which several servers may share."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import uuid
from pathlib import Path

from pindet_serve.jobs.job import INPUT, Job, read_job, write_job

try:
    import fcntl
except ImportError:  # there are no such locks on Windows: a folder is for one server
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)
_ID = re.compile("[0-9a-f]{32}")
_NEW, _GONE = ".new-", ".gone-"
_LOCK = "lock"


class Held:
    """A folder that no other server touches until it is released, or this process ends in whatever way.

    Attributes:
        folder: where it is now.
    """

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder, self._handle = folder, handle

    def release(self) -> None:
        """Let others have it; a second time does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class JobStore:
    """Keeps jobs under ``root``.

    A folder is named ``.new-…`` while its input comes, as the job's id once the job is whole, and ``.gone-…`` while it
    is deleted: with one renaming each, a job is there as a whole or not at all, whoever looks.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ended: dict[str, Job] = {}

    def tidy(self) -> None:
        """Delete what killed servers left half written, half deleted, or damaged, and inputs of ended jobs."""
        try:
            folders = self._folders()
        except OSError as error:
            _log.error("the jobs can not be looked at: %s", error)
            return
        for folder in folders:
            try:
                self._tidy(folder)
            except OSError as error:
                _log.warning("what is left of a job stays: %s", error)

    def _tidy(self, folder: Path) -> None:
        error = None
        if _ID.fullmatch(folder.name):
            try:
                if read_job(folder).ended:
                    (folder / INPUT).unlink(missing_ok=True)
                return
            except (FileNotFoundError, ValueError) as seen:
                error = seen
        elif not folder.name.startswith((_NEW, _GONE)):
            return
        if (held := _hold(folder)) is not None:
            if error is not None:
                _log.warning("a job was never whole, or is damaged, and is removed: %s", error)
            shutil.rmtree(folder, ignore_errors=True)
            held.release()

    def new(self) -> Held:
        """Make the folder of a job to come.

        Raises:
            OSError: it can not be made.
        """
        while True:
            folder = self._root / f"{_NEW}{uuid.uuid4().hex}"
            folder.mkdir(parents=True)
            try:
                held = _hold(folder)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            if held is not None:  # else another server has just tidied it away
                return held

    def coming(self) -> int:
        """How many new folders there are, of all servers."""
        return sum(folder.name.startswith(_NEW) for folder in self._folders())

    def add(self, held: Held, job: Job) -> None:
        """Make the job of a new folder that has its input; the folder is released.

        Raises:
            OSError: it can not be written.
        """
        write_job(held.folder, job)
        folder = self.folder(job.id)
        held.folder.rename(folder)
        held.folder = folder
        held.release()

    def abandon(self, held: Held) -> None:
        """Delete a new folder, unless it became a job."""
        if held.folder.name.startswith(_NEW):
            shutil.rmtree(held.folder, ignore_errors=True)
        held.release()

    def every(self) -> list[Job]:
        """All jobs, the newest first.

        Raises:
            OSError: the folder can not be looked at.
        """
        names = {folder.name for folder in self._folders()}
        for name in set(self._ended) - names:
            self._ended.pop(name, None)
        jobs = [job for name in names if (job := self.get(name)) is not None]
        return sorted(jobs, key=lambda job: (job.created, job.id), reverse=True)

    def get(self, job_id: str) -> Job | None:
        """What is written of a job; ``None`` if there is none of that id."""
        if not _ID.fullmatch(job_id):
            return None
        folder, job = self.folder(job_id), self._ended.get(job_id)
        try:
            if job is None:
                job = read_job(folder)
                if job.ended:  # it will not change any more
                    self._ended[job_id] = job
            elif not folder.exists():
                return None
        except (OSError, ValueError):
            return None
        return job

    def folder(self, job_id: str) -> Path:
        """Where a job has its input and its result."""
        return self._root / job_id

    def claim(self, job: Job) -> tuple[Held, Job] | None:
        """Take an unfinished job to work on it; with it comes how it stands now.

        Returns:
            ``None`` if another server works on it, or it is finished, or gone.

        Raises:
            OSError: that can not be found out.
        """
        held = _hold(self.folder(job.id))
        if held is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            present = read_job(held.folder)
            if not present.ended:
                return held, present
        held.release()
        return None

    def remove(self, job_id: str) -> None:
        """Delete a job, whoever works on it: that finds nothing to write to any more."""
        gone = self._root / f"{_GONE}{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):
            self.folder(job_id).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in self._root.iterdir() if path.is_dir()] if self._root.is_dir() else []


def _hold(folder: Path) -> Held | None:
    """Lock a folder; ``None`` if someone else has it, or it is not there any more.

    A file in it is locked, and one that is open for writing: only of such does NFS tell other machines.
    """
    if fcntl is None:
        return Held(folder, -1) if folder.is_dir() else None
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o664)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking the folder may have got another name.
        if os.path.samestat(os.fstat(handle), (folder / _LOCK).stat()):
            return Held(folder, handle)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None
