"""The settings of promotions: the file ``promotion.yaml``, which no stage reads and DVC does not compose."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from pindet.promotion.errors import PromotionError, unreadable
from pindet.promotion.revision import RESERVED

FILE = Path("promotion.yaml")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PromotionSettings:
    """What a release must live up to, and how it is called.

    Attributes:
        artifact: name of what is released, as under ``artifacts:`` in ``dvc.yaml``.
        max_drop: most that mAP on the test images may fall below the champion's, 0 to 1.
        max_class_drop: most that the average precision of any class may fall, 0 to 1.
        resamples: how often the paired bootstrap draws the test images anew.
        confidence: of its intervals, 0 to 1.
        seed: of its draws.
        servers: addresses that ``pindet status`` asks, as in ``http://line-1:8000``.
        aliases: MLflow's alias of a stage, another one for each; a stage that is not named has its own name as alias.
    """

    artifact: str = Field(default="detector", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    max_drop: float = Field(default=0.01, ge=0, le=1)
    max_class_drop: float = Field(default=0.05, ge=0, le=1)
    resamples: int = Field(default=1000, ge=100, le=100_000)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0)
    servers: list[str] = Field(default_factory=list)
    aliases: dict[str, str] = Field(default_factory=lambda: {"production": "champion"})

    @field_validator("aliases")
    @classmethod
    def _are_apart(cls, aliases: dict[str, str]) -> dict[str, str]:
        for stage, alias in aliases.items():
            if stage in RESERVED:
                raise ValueError(f"{stage} can not be a stage; the name is reserved")
            others = [other for other in aliases if other != stage and aliases[other] == alias]
            if others:
                raise ValueError(f"{stage} and {', '.join(others)} have one alias, {alias}; each needs its own")
        return aliases


def read_settings(root: Path) -> PromotionSettings:
    """Read ``promotion.yaml`` of a project; without it the defaults hold.

    Raises:
        PromotionError: it is no YAML, or has a key or value that is not allowed.
    """
    path = root / FILE
    if not path.is_file():
        return PromotionSettings()
    try:
        content = yaml.safe_load(path.read_text("utf-8")) or {}
        return TypeAdapter(PromotionSettings).validate_python(content)
    except yaml.YAMLError as error:
        raise unreadable(str(path), error) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "its content"
        allowed = ", ".join(PromotionSettings.__dataclass_fields__)
        raise PromotionError(
            f"{FILE}: {key} is {first['input']!r}: {first['msg'].lower()}; its keys are {allowed}"
        ) from error
