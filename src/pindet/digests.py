"""Digests as DVC 3 makes them: of files, of folders, and of everything that a stage depends on.

A stage computes them while ``dvc.lock`` still describes the run before; nothing here imports DVC or takes its lock.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

IGNORED_FOLDERS = frozenset({"__pycache__", ".git", ".hg", ".dvc", ".ipynb_checkpoints"})
IGNORED_FILES = ("*.swp", "*~", ".#*", ".DS_Store", "Thumbs.db")
"""Left out of every folder: what DVC leaves out by itself, and what comes and goes beside the code and the data, which
``.dvcignore`` must name too."""

_CHUNK = 1 << 20
_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")


def dvc_md5(path: Path) -> str:
    """Return what DVC 3 records for ``path``: the md5 of a file (32 hex digits), or ``<md5>.dir`` of a folder.

    A folder's md5 is that of the JSON list of ``{"md5": …, "relpath": …}`` of its files, sorted by ``relpath``. Of
    ``.dvcignore`` only :data:`IGNORED_FOLDERS` and :data:`IGNORED_FILES` are known here. Links are followed.

    Raises:
        FileNotFoundError: nothing is at ``path``.
    """
    if not path.is_dir():
        return _file_md5(path)
    return folder_md5({relative: _file_md5(path / relative) for relative in _files(path)})


def folder_md5(files: Mapping[str, str]) -> str:
    """Return what DVC 3 records for a folder, from the md5 of each of its files by path below it."""
    entries = [{"md5": files[relative], "relpath": relative} for relative in sorted(files)]
    listing = json.dumps(entries, sort_keys=True).encode()
    return f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"


def is_left_out(relative: str) -> bool:
    """Whether DVC leaves a file out of its folder, by its ``/``-separated path below that."""
    *folders, name = relative.split("/")
    return not IGNORED_FOLDERS.isdisjoint(folders) or any(fnmatch.fnmatchcase(name, each) for each in IGNORED_FILES)


def stage_key(stage: str, root: Path) -> str:
    """Return the sha256 (64 hex digits) of a stage's command, its dependencies' md5s and its tracked parameters.

    Two runs of a stage with the same key were given the same things. ``${…}`` in ``dvc.yaml`` stands for a value of
    ``params.yaml``, as it does for DVC; other templating (``foreach``, ``vars``) is not resolved.

    Args:
        stage: a name under ``stages:`` of ``dvc.yaml``.
        root: the folder of ``dvc.yaml`` and ``params.yaml``.

    Raises:
        ValueError: ``dvc.yaml`` has no such stage, or a placeholder or tracked parameter has no value.
        FileNotFoundError: a dependency is missing.
    """
    definition = stage_definition(stage, root)
    deps = {dependency: dvc_md5(root / dependency) for dependency in definition["deps"]}
    return key_of(definition["cmd"], deps, definition["params"])


def key_of(cmd: str | None, deps: Mapping[str, str | None], params: Mapping[str, Any]) -> str:
    """Return the key of a stage from its command, its dependencies' md5s by path and its parameters by ``file:key``."""
    given = {"cmd": cmd, "deps": deps, "params": params}
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def stage_definition(stage: str, root: Path) -> dict[str, Any]:
    """Return ``cmd``, the sorted paths ``deps``, and the values ``params`` by ``file:key``, with ``${…}`` resolved.

    Raises:
        ValueError: as :func:`stage_key`.
    """
    stages = yaml.safe_load((root / "dvc.yaml").read_text("utf-8")).get("stages", {})
    if stage not in stages:
        raise ValueError(f"dvc.yaml has no stage {stage!r}; its stages are {', '.join(stages)}")
    definition = _resolve(stages[stage], OmegaConf.load(root / "params.yaml"))
    dependencies = sorted(dep if isinstance(dep, str) else next(iter(dep)) for dep in definition.get("deps", []))
    params = dict(_tracked(definition.get("params", []), root))
    return {"cmd": definition.get("cmd"), "deps": dependencies, "params": params}


def files_below(path: Path) -> Iterator[Path]:
    """The files that DVC hashes for a dependency: the file itself, or all in the folder."""
    if path.is_dir():
        yield from (path / relative for relative in sorted(_files(path)))
    else:
        yield path


def _file_md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in IGNORED_FOLDERS]
        inside = ((Path(parent) / name).relative_to(folder).as_posix() for name in names)
        yield from (relative for relative in inside if not is_left_out(relative))


def _resolve(value: Any, params: Any) -> Any:
    """Replace ``${key}`` in every string below ``value``."""
    if isinstance(value, Mapping):
        return {_resolve(key, params): _resolve(child, params) for key, child in value.items()}
    if isinstance(value, list):
        return [_resolve(child, params) for child in value]
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: str(_select(params, match[1].strip(), "params.yaml")), value)
    return value


def _tracked(declared: list[Any], root: Path) -> Iterator[tuple[str, Any]]:
    """Yield ``file:key`` and value of each entry of ``params:``, a key or ``{file: keys or nothing for all}``."""
    for entry in declared:
        files = entry if isinstance(entry, Mapping) else {"params.yaml": [entry]}
        for name, keys in files.items():
            tree = OmegaConf.load(root / name)
            if keys is None:
                yield f"{name}:", OmegaConf.to_container(tree, resolve=True)
            else:
                yield from ((f"{name}:{key}", _select(tree, key, name)) for key in keys)


def _select(tree: Any, key: str, name: str) -> Any:
    missing = object()
    value = OmegaConf.select(tree, key, default=missing)
    if value is missing:
        raise ValueError(f"dvc.yaml names the parameter {key!r}, which {name} does not have")
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
