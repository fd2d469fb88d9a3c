"""The images of a request: one as the raw body, or one to many as multipart/form-data."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pindet_serve.api.problems import Problem
from pindet_serve.api.signs import whole_signs
from pindet_serve.settings import Settings

RAW_TYPES = (
    "image/jpeg", "image/png", "image/webp", "image/bmp", "image/x-ms-bmp", "image/tiff", "application/octet-stream",
)  # fmt: skip
MOST_FIELDS = 16
_HOW = (
    "With curl: --data-binary @photo.jpg -H 'Content-Type: image/jpeg' for one image, -F images=@photo.jpg for several"
)


@dataclass(frozen=True)
class Upload:
    """The bytes of one image file and the name it was sent with, empty for a raw body; or why there are none."""

    name: str
    data: bytes
    problem: Problem | None = None


async def read_uploads(request: Request, settings: Settings) -> list[Upload]:
    """Read the images of a request, at least one.

    Raises:
        Problem: 400 no image, or a multipart body that is none; 413 too many images; 415 another content type.
    """
    content_type = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        return await _read_parts(request, settings)
    if content_type == "application/json" and (by_url := request.app.state.by_url) is not None:
        uploads: list[Upload] = await by_url.read(request)
        return uploads
    if content_type not in RAW_TYPES:
        allowed = ", ".join((*RAW_TYPES, "multipart/form-data"))
        if content_type == "application/json":
            allowed += "; images by URL are turned off, PINDET_URL_HOSTS turns them on"
        raise Problem(415, "Unsupported type", f"the body is {content_type!r}; allowed are {allowed}. {_HOW}")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Unsupported type", "the body has a Content-Encoding; send the image as it is")
    return [Upload("", await request.body())]


async def _read_parts(request: Request, settings: Settings) -> list[Upload]:
    most = min(settings.max_images, settings.queue_size)
    parser = MultiPartParser(request.headers, request.stream(), max_files=most, max_fields=MOST_FIELDS)
    parser.spool_max_size = settings.max_body_bytes + 1  # never to disk, which may be full
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Problem(413, "Too many images", f"at most {most} images are allowed in one request") from None
        raise Problem(400, "Invalid multipart body", error.message) from None
    except (KeyError, ValueError) as error:
        raise Problem(400, "Invalid multipart body", f"the body can not be read: {error}") from None
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        uploads = [Upload(whole_signs(file.filename or ""), await file.read()) for file in files]
    finally:
        await form.close()
    if not uploads:
        raise Problem(400, "No image", "the multipart body holds no file; send each image as a part with a file name")
    return uploads
