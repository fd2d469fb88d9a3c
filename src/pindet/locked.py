"""What ``dvc.lock`` says of the parameters that its stages ran with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pindet.project import PARAMS


def changed_params(stage: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys, with dots, whose value is not the one that a stage of ``dvc.lock`` ran with."""
    values = (stage.get("params") or {}).get(str(PARAMS))
    if not isinstance(values, Mapping):
        return
    for key, value in values.items():
        now: Any = params
        for part in str(key).split("."):
            now = now.get(part) if isinstance(now, Mapping) else None
        if now != value:
            yield str(key)
