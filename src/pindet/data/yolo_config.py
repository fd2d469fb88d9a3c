"""``data.yaml`` of a YOLO folder: class names, and where the splits are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pindet.data.layout import other_layout
from pindet.data.records import SPLITS, SourceError, nfc


@dataclass(frozen=True)
class YoloConfig:
    """What ``data.yaml`` says: class names in order, the folder that its paths start from, and paths by split."""

    names: list[str]
    base: Path
    places: dict[str, list[Path]]


def load_config(root: Path) -> YoloConfig:
    """Read ``data.yaml`` of ``root``, or the only YAML file that lies there.

    Raises:
        SourceError: there is none, a name is no string, or a path does not exist below ``root``.
    """
    path = _find(root)
    try:
        data: Any = yaml.safe_load(path.read_text("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is no YAML: {error}; export it again") from error
    data = data if isinstance(data, dict) else {}
    base = root / str(data.get("path") or ".")
    places = {s: [_place(root, base, v, path) for v in _values(data[s])] for s in SPLITS if data.get(s)}
    return YoloConfig(_names(data.get("names"), path), base, places)


def _find(root: Path) -> Path:
    found = sorted(p for p in root.iterdir() if p.suffix.lower() in (".yaml", ".yml"))
    named = [p for p in found if p.stem == "data"] or found
    if len(named) != 1:
        seen = ", ".join(p.name for p in named) or "none"
        raise SourceError(
            f"no {root / 'data.yaml'} (YAML files there: {seen}); {other_layout(root, 'yolo')}; correct data.root, or "
            "write one with 'names: [...]'"
        )
    return named[0]


def _names(names: Any, path: Path) -> list[str]:
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise SourceError(f"{path}: names have keys {list(names)}; allowed are 0..{len(names) - 1}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise SourceError(f"{path}: names is {names!r}; allowed is a list of strings; write 'names: [...]'")
    for i, name in enumerate(names):
        if not isinstance(name, str):  # unquoted no, on, yes, 1 are not strings in YAML
            raise SourceError(f'{path}: name {i} is {name!r}, no string; put it in quotes, such as "no"')
    return [nfc(name) for name in names]


def _values(value: Any) -> list[str]:
    return [str(v) for v in (value if isinstance(value, list) else [value])]


def _place(root: Path, base: Path, value: str, path: Path) -> Path:
    """Find a path of ``data.yaml``; exporters write paths of their own machine or from a sibling folder."""
    inside = value
    while inside.startswith("../"):
        inside = inside.removeprefix("../")
    for candidate in (base / value, root / value, root / inside):
        if candidate.exists() and candidate.resolve().is_relative_to(root.resolve()):
            return candidate
    raise SourceError(f"{path} names {value!r}, which is not below {root}; allowed are paths there; correct it")
