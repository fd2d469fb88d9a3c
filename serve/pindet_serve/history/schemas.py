"""What the history routes give."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Entry(BaseModel):
    """Something that is kept."""

    id: int = Field(description="its number; pages go by it")
    at_ms: int = Field(description="when, milliseconds since 1970")


class Page(BaseModel):
    """Entries, newest first; a list of at most as many as asked for."""

    next_before_id: int | None = Field(description="ask with before_id= for the next page; null at the end")


class RecordedImage(Entry):
    """An image that was answered."""

    request_id: str = Field(description="of the request it came with")
    source: str = Field(description="replica that answered")
    actor: str = Field(description="who asked")
    model_version: str = Field(description="version of the model that answered")
    model_md5: str = Field(description="md5 of its bundle")
    image_name: str | None = Field(description="file name that came with it")
    image_width: int = Field(description="pixels")
    image_height: int = Field(description="pixels")
    objects: int = Field(description="how many objects were found")
    elapsed_ms: float = Field(description="from decoding to the answer")
    detections: list[dict[str, Any]] = Field(description="as in the answer: label, label_id, score, box")


class ImagePage(Page):
    """Images, newest first."""

    images: list[RecordedImage] = Field(description="at most as many as asked for")


class Deed(Entry):
    """Something that someone did."""

    actor: str = Field(description="who")
    action: str = Field(description="what: sign_in, user.create, model.reload, …")
    target: str = Field(description="on what")
    outcome: str = Field(description="done or refused")
    address: str = Field(description="where the actor came from")
    details: dict[str, Any] = Field(description="what else there is to know")


class DeedPage(Page):
    """Deeds, newest first."""

    deeds: list[Deed] = Field(description="at most as many as asked for")


class Counts(BaseModel):
    """How much was done."""

    images: int = Field(description="images answered")
    objects: int = Field(description="objects found")
    mean_elapsed_ms: float | None = Field(description="mean time of an answer; null without any")


class ClassCounts(BaseModel):
    """How often a class was found."""

    label: str = Field(description="name of the class")
    objects: int = Field(description="objects found")
    images: int = Field(description="images with at least one")
    mean_score: float = Field(description="mean score of these objects")


class ModelCounts(Counts):
    """What one model did."""

    model_version: str = Field(description="its version")
    model_md5: str = Field(description="md5 of its bundle")


class StepCounts(Counts):
    """What was done in one step of time."""

    start_ms: int = Field(description="begin of the step, milliseconds since 1970")


class Statistics(Counts):
    """Aggregates over a time span."""

    classes: list[ClassCounts] = Field(description="most frequent first")
    models: list[ModelCounts] = Field(description="the last used first")
    series: list[StepCounts] = Field(description="in order of time; steps without images are absent")
