"""The query parameters that say what a request wants of its answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from pindet_serve.api.problems import Problem
from pindet_serve.serving.model import Model
from pindet_serve.serving.wanted import Wanted


async def _wanted(  # not for a thread of its own, which costs more than the rest of it
    score_threshold: Annotated[float | None, Query(ge=0, le=1, description="least score; the model's default")] = None,
    max_detections: Annotated[int | None, Query(ge=1, description="most objects an image; the model's default")] = None,
    classes: Annotated[list[str] | None, Query(description="only objects of these classes; repeat it")] = None,
) -> Wanted:
    return Wanted(score_threshold, max_detections, None if classes is None else tuple(classes))


Limits = Annotated[Wanted, Depends(_wanted)]
"""What a route takes as its parameter; :func:`checked` compares it with the model that is to answer."""


def checked(wanted: Wanted, model: Model) -> Wanted:
    """Return ``wanted`` if the model can give it, else raise a problem."""
    try:
        wanted.check(model.manifest)
    except ValueError as error:
        raise Problem(422, "Invalid parameters", str(error)) from None
    return wanted
