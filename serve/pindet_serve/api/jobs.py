"""``/v1/jobs``: videos and archives in the background."""

from __future__ import annotations

import pathlib
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from pindet_serve.api.limits import Limits, checked
from pindet_serve.api.problems import Problem
from pindet_serve.api.schemas import DOWNLOAD, JobAnswer, JobLine, answers, problems, schema_of
from pindet_serve.auth.require import require
from pindet_serve.jobs.frames import UnreadableInputError, kind_of
from pindet_serve.jobs.job import INPUT, Job
from pindet_serve.jobs.runner import JobRunner, TooManyJobs

PATH = "/v1/jobs"
JobId = Annotated[str, Path(description="of the job, as creating it gave")]
router = APIRouter(tags=["jobs"], dependencies=[Depends(require("viewer"))])
_TYPES = (
    "video/mp4", "video/quicktime", "video/x-matroska", "video/webm", "video/x-msvideo", "application/zip",
    "application/octet-stream",
)  # fmt: skip
_BODY = {"required": True, "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in _TYPES}}
_LINES = "application/x-ndjson"
_RESULT = answers(200, "One JSON object a line, each as the schema says", _LINES, headers=DOWNLOAD)
_RESULT[200]["content"][_LINES]["schema"] = schema_of(JobLine)


@router.post(
    PATH,
    status_code=202,
    responses=answers(202, "The job, which waits for its turn")
    | problems(400, 401, 403, 408, 413, 415, 422, 500, 503, 507),
    openapi_extra={"requestBody": _BODY},
)
async def create(
    request: Request,
    limits: Limits,
    name: Annotated[str, Query(max_length=255, description="what to call it, such as the name of its file")] = "",
) -> JobAnswer:
    """Detect in every frame of a video, or every image of a zip archive, sent as the body.

    Progress is told on the status feed as ``job.running``; the job survives the end of the server.
    """
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise Problem(415, "Unsupported type", f"the body is a multipart form; {_HOW}")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Unsupported type", f"the body has a Content-Encoding; {_HOW}")
    runner: JobRunner = request.app.state.jobs
    wanted = checked(limits, request.app.state.service.model)
    try:
        upload = await run_in_threadpool(runner.reserve)
    except TooManyJobs as error:
        raise Problem(503, "Too many jobs", str(error), headers={"Retry-After": "60"}) from None
    except OSError as error:
        raise _no_room(error) from error
    try:
        kind = await _receive(request, upload.folder / INPUT)
        return _described(await run_in_threadpool(runner.submit, upload, kind, wanted, name))
    except UnreadableInputError as error:
        raise Problem(400, "Unreadable input", str(error)) from None
    except OSError as error:
        raise _no_room(error) from error
    finally:
        await run_in_threadpool(runner.give_back, upload)


@router.get(PATH, responses=answers(200, "The jobs") | problems(401, 403, 500))
def every(request: Request) -> list[JobAnswer]:
    """All jobs, the newest first."""
    return [_described(job) for job in request.app.state.jobs.every()]


@router.get(PATH + "/{job_id}", responses=answers(200, "The job") | problems(401, 403, 404, 422, 500))
def one(request: Request, job_id: JobId) -> JobAnswer:
    """How far a job is."""
    return _described(_job(request, job_id))


@router.get(
    PATH + "/{job_id}/result",
    response_class=FileResponse,
    responses=_RESULT | problems(401, 403, 404, 409, 422, 500),
)
def result(request: Request, job_id: JobId) -> FileResponse:
    """The result of a finished job: one JSON object a line, for each frame, in order."""
    job = _job(request, job_id)
    if job.status != "finished":
        raise Problem(409, "Not finished", f"the job is {job.status}, {job.done} frames are done; {job.error}")
    path = request.app.state.jobs.result(job)
    return FileResponse(path, media_type=_LINES, filename=f"{job.id}.jsonl")


@router.delete(
    PATH + "/{job_id}",
    status_code=204,
    response_class=Response,
    responses=answers(204, "It is gone") | problems(401, 403, 404, 422, 500),
)
def remove(request: Request, job_id: JobId) -> None:
    """Cancel a job if it still runs, and delete its input and result."""
    request.app.state.jobs.remove(_job(request, job_id))


async def _receive(request: Request, path: pathlib.Path) -> str:
    """Write the body to a file as it comes, and say what it is."""
    size, kind = 0, ""
    start = b""
    with path.open("wb") as file:
        async for chunk in request.stream():
            if len(start) < 16:
                start += chunk
                kind = kind_of(start)
                if len(start) >= 16 and not kind:
                    break
            size += len(chunk)
            await run_in_threadpool(file.write, chunk)
    if size == 0 and not start:
        raise Problem(400, "No input", f"the body is empty; {_HOW}")
    if not kind:
        raise Problem(415, "Unsupported type", f"the body starts with {start[:8].hex(' ')}; {_HOW}")
    return kind


_HOW = (
    "send one file (MP4, QuickTime, Matroska, WebM, AVI, or a zip of images) as the body itself: "
    "curl --data-binary @video.mp4 -H 'Content-Type: application/octet-stream' …/v1/jobs"
)


def _job(request: Request, job_id: str) -> Job:
    job: Job | None = request.app.state.jobs.get(job_id)
    if job is None:
        raise Problem(404, "No such job", f"there is no job {job_id!r}; it may have been deleted")
    return job


def _described(job: Job) -> JobAnswer:
    return JobAnswer(**{name: getattr(job, name) for name in JobAnswer.model_fields})


def _no_room(error: OSError) -> Problem:
    return Problem(507, "No room", f"the job can not be kept: {error.strerror or error}")
