"""What a stage was given, as ``dvc.lock`` has it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pindet.promotion.errors import PromotionError
from pindet.promotion.revision import Revision


def locked_stage_key(revision: Revision, stage: str) -> str:
    """The key that :func:`pindet.digests.stage_key` gave the stage when it ran, from ``dvc.lock`` alone.

    Raises:
        PromotionError: there is no such stage.
    """
    locked: dict[str, Any] | None = revision.lock.get(stage)
    if locked is None:
        raise PromotionError(f"dvc.lock of {revision.shown} has no stage {stage!r}; run dvc repro")
    given = {
        "cmd": locked.get("cmd"),
        "deps": {str(dep["path"]): dep.get("md5") for dep in locked.get("deps", [])},
        "params": {
            f"{file}:{key}": value
            for file, values in (locked.get("params") or {}).items()
            for key, value in values.items()
        },
    }
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
