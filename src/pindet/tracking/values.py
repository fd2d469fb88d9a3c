"""Parameters and metrics in the form that MLflow takes."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_FORBIDDEN = re.compile(r"[^\w.\- :]")
_LONGEST_KEY = 230


def flat_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested parameters to ``group.key``; lists and plain values read as in JSON, strings as they are."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in _leaves(params, ".")
    }


def flat_metrics(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Flatten nested numbers to ``prefix/key/key``; what is no number, or undefined (NaN, infinite), is left out."""
    named = {prefix: metrics} if prefix else metrics
    return {
        metric_key(key): float(value)
        for key, value in _leaves(named, "/")
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def differing(sides: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """The flat parameters that are not the same everywhere, with the value of each side; – where it has none."""
    keys = sorted({key for side in sides for key in side})
    values = {key: [side.get(key, "–") for side in sides] for key in keys}
    return {key: found for key, found in values.items() if len(set(found)) > 1}


def metric_key(key: str) -> str:
    """Return ``key`` as MLflow allows it; one that had to change ends in a checksum, so that two stay two."""
    parts = ["_" if part in ("", ".", "..") else _FORBIDDEN.sub("_", part) for part in key.split("/")]
    allowed = "/".join(parts)[:_LONGEST_KEY]
    return allowed if allowed == key else f"{allowed}-{zlib.crc32(key.encode()):08x}"


def _leaves(tree: Mapping[str, Any], separator: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}{separator}{rest}", leaf) for rest, leaf in _leaves(value, separator))
        else:
            yield str(key), value
