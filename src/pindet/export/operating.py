"""The operating point: how the evaluated model is used, chosen by the evaluation and built into the bundle."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pindet.models.postprocess import Postprocess


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class OperatingPoint:
    """The contents of ``models/operating_point.json``.

    Attributes:
        score_threshold: default for answers: best F1 on the validation split, 0–1.
        nms_iou_threshold: objects of a class that overlap by more are one.
        max_detections: most objects of an image.
    """

    score_threshold: float = Field(ge=0, le=1)
    nms_iou_threshold: float = Field(gt=0, le=1)
    max_detections: int = Field(ge=1)

    def postprocess(self) -> Postprocess:
        """The selection that the evaluation ran with."""
        return Postprocess(nms_iou_threshold=self.nms_iou_threshold, max_detections=self.max_detections)


def read_operating_point(path: Path) -> OperatingPoint:
    """Read the operating point that the evaluate stage wrote.

    Raises:
        ValueError: the file is missing, no JSON, or has other keys or types.
    """
    try:
        return TypeAdapter(OperatingPoint).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; the evaluate stage writes it: run `dvc repro evaluate`") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the content"
        raise ValueError(f"{path}: {key} is {first['input']!r}: {first['msg'].lower()}; evaluate again") from error
