"""The JSON of the answers, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ProblemBody(BaseModel):
    """An error, RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="URI of the kind of problem; about:blank when the status says it all")
    title: str = Field(description="the kind of problem, in words")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="what was seen, what is allowed, what to do")


class Box(BaseModel):
    """Corners in pixels of the displayed image: 0 is its left or upper edge; EXIF orientation is applied."""

    x1: float = Field(description="left edge")
    y1: float = Field(description="upper edge")
    x2: float = Field(description="right edge")
    y2: float = Field(description="lower edge")


class Detection(BaseModel):
    """One object."""

    label: str = Field(description="class name")
    label_id: int = Field(ge=0, description="position in the model's class names")
    score: float = Field(ge=0, le=1, description="how sure the model is")
    box: Box = Field(description="where it is")


class Timing(BaseModel):
    """Milliseconds that an image took."""

    decode_ms: float = Field(description="decoding and bringing it to the model's size")
    queue_ms: float = Field(description="waiting for the engine")
    inference_ms: float = Field(description="inference of its batch")
    batch: int = Field(description="images in that batch")


class ImageAnswer(BaseModel):
    """What was found in one image, or why nothing could be: either ``error`` or all the other members."""

    name: str = Field(description="file name it was sent with; empty for a raw body")
    image_width: int | None = Field(None, description="pixels of the displayed image")
    image_height: int | None = Field(None, description="pixels of the displayed image")
    detections: list[Detection] | None = Field(None, description="best score first")
    timing: Timing | None = Field(None, description="how long it took")
    error: ProblemBody | None = Field(None, description="this image's own error; the others are answered")


class ModelName(BaseModel):
    """The model that answered."""

    name: str = Field(description="name of the artifact")
    version: str = Field(description="released version, or workspace")
    md5: str = Field(description="DVC's md5 of the bundle")


class DetectAnswer(BaseModel):
    """One answer per image, in the order they were sent."""

    model: ModelName = Field(description="what answered")
    images: list[ImageAnswer] = Field(description="one for each image that was sent")


class ModelAnswer(ModelName):
    """What is served and where it came from."""

    stage: str = Field(description="production, …; empty for a workspace")
    engine: str = Field(description="what runs it: onnxruntime, openvino or torch")
    device: str = Field(description="where it runs: cpu, cuda or tensorrt")
    classes: list[str] = Field(description="a label is a position in this list")
    image_height: int = Field(description="pixels of the model's input")
    image_width: int = Field(description="pixels of the model's input")
    score_threshold: float = Field(description="default of detect's parameter")
    max_detections: int = Field(description="default and most of detect's parameter")
    metrics: dict[str, float] = Field(description="test metrics of the bundle")
    data_md5: str = Field(description="DVC's md5 of the prepared data it was trained on")
    lineage: dict[str, Any] = Field(description="commit, MLflow run, who released it and when")
    mlflow_url: str = Field(description="where browsers find MLflow; empty for where trainings found it")
    can_roll_back: bool = Field(description="whether there is a release before this one")
    previous: ModelName | None = Field(description="the release before this one, which a rollback serves; null if none")
    declined: ModelName | None = Field(
        description="the release that was rolled back here and is not loaded again by itself: until another is "
        "released, or a reload; null when there is none"
    )
    refused: str = Field(description="why the last load was refused; empty when it was not")


class JobAnswer(BaseModel):
    """How far a job is."""

    id: str = Field(description="32 hexadecimal digits")
    kind: str = Field(description="video or zip")
    name: str = Field(description="what it was called when it was sent")
    created: float = Field(description="seconds since 1970")
    status: str = Field(description="queued, running, finished or failed")
    done: int = Field(description="frames that are done")
    unreadable: int = Field(description="how many of these could not be read; the result has the reason of each")
    total: int | None = Field(description="frames there are, as far as the input tells")
    error: str = Field(description="why it failed")


class JobLine(BaseModel):
    """One line of a job's result: what was found in a frame or image, or why nothing could be (``error``)."""

    index: int = Field(description="number of the line, from 0")
    name: str | None = Field(None, description="of the file in the archive; absent for a video")
    frame: int | None = Field(None, description="number of the frame in the video, from 0; absent for an archive")
    seconds: float | None = Field(
        None, description="from the video's begin; null where the video does not say, absent for an archive"
    )
    model_md5: str = Field(description="DVC's md5 of the bundle that answered")
    image_width: int | None = Field(None, description="pixels of the displayed image; absent with an error")
    image_height: int | None = Field(None, description="pixels of the displayed image; absent with an error")
    detections: list[Detection] | None = Field(None, description="best score first; absent with an error")
    error: str | None = Field(None, description="why it could not be read; absent when it could")


class ReloadAnswer(BaseModel):
    """What a reload came to."""

    changed: bool = Field(description="whether another model answers now")
    model: ModelAnswer = Field(description="what answers now")


class Check(BaseModel):
    """One condition of being ready."""

    ok: bool = Field(description="whether it holds")
    detail: str = Field(description="what was seen")


class HealthAnswer(BaseModel):
    """How the server is."""

    status: str = Field(description="ok, degraded (answers, but something needs a look) or unready")
    checks: dict[str, Check] = Field(description="by name; model, engine and queue are what being ready needs")


_HEADERS = {
    "X-Request-ID": "the id sent with the request, else a new one; the logs hold it",
    "X-Model-Version": "version of the model that answered",
    "X-Model-MD5": "DVC's md5 of that model's bundle",
    "traceparent": "of the server's own span, within the trace that the request came with (W3C Trace Context)",
}


def _described(headers: dict[str, str], kind: str = "string") -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": kind}} for name, text in headers.items()}


_NONE: dict[str, Any] = {}
HEADERS: dict[str, Any] = _described(_HEADERS)
RETRY_AFTER = _described({"Retry-After": "seconds to wait; absent where waiting does not help"}, "integer")
UNSTORED = _described({"Cache-Control": "no-store: nobody on the way keeps a secret"})
DOWNLOAD = _described(
    {
        "Content-Disposition": "the name to keep it under: the job's id and .jsonl",
        "ETag": "another one when the file is another",
        "Last-Modified": "when it was written",
        "Accept-Ranges": "bytes: a part can be asked for with Range",
    }
)
_OF_STATUS = {
    401: _described({"WWW-Authenticate": "how to prove who is asking: Bearer"}),
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}
_PROBLEMS = {
    400: "The body can not be read, or holds nothing that can be decoded",
    401: "Not signed in",
    403: "Not allowed for this role",
    404: "No such thing",
    406: "A picture was asked for several images",
    408: "The body came too slowly",
    409: "Not possible now",
    413: "Too many bytes, pixels or images",
    415: "A type that is not served",
    422: "Invalid parameters",
    424: "The image could not be fetched by its URL",
    429: "Too many failures",
    500: "The server failed",
    503: "No room in the queue, no time left, or the database is away",
    507: "No room on the disk",
}


def problems(*statuses: int, headers: dict[str, Any] = _NONE) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of these errors, with headers beside those that every such error has."""
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": schema}},
            "headers": HEADERS | _OF_STATUS.get(status, {}) | headers,
        }
        for status in statuses
    }


def answers(
    status: int, text: str, *media_types: str, headers: dict[str, Any] = _NONE
) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI response of success, in words, with its headers and, where it is no JSON, its media types."""
    content: dict[str, Any] = {name: {} for name in media_types}
    return {status: {"description": text, "headers": HEADERS | headers} | ({"content": content} if content else {})}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI schema of what is no JSON as a whole; the models in it have to be those of some other answer too."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema
