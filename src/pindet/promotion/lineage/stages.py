"""What a stage was given, as ``dvc.lock`` has it and as the commit says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pindet.digests import key_of, stage_definition
from pindet.promotion.errors import PromotionError
from pindet.promotion.lineage.link import Link, State
from pindet.promotion.pinned import md5s_now
from pindet.promotion.repository import Repository
from pindet.promotion.revision import Revision


def locked_stage_key(revision: Revision, stage: str) -> str:
    """The key that :func:`pindet.digests.stage_key` gave the stage when it ran, from ``dvc.lock`` alone.

    Raises:
        PromotionError: there is no such stage.
    """
    locked: dict[str, Any] | None = revision.lock.get(stage)
    if locked is None:
        raise PromotionError(f"dvc.lock of {revision.shown} has no stage {stage!r}; run dvc repro")
    deps = {str(dep["path"]): dep.get("md5") for dep in locked.get("deps", [])}
    params = {
        f"{file}:{key}": value for file, values in (locked.get("params") or {}).items() for key, value in values.items()
    }
    return key_of(locked.get("cmd"), deps, params)


def judge_stage_key(repository: Repository, revision: Revision, stage: str) -> Link:
    """Whether the stage's key is that of the command, dependencies and parameters which the commit has.

    Raises:
        PromotionError: ``dvc.lock`` has no such stage.
    """
    locked = locked_stage_key(revision, stage)
    if revision.is_workspace and repository.changed():
        return Link("stage key", locked, State.unknown, "the workspace has changes beside its commit")
    try:
        cmd, deps, params = _given(repository, revision, stage)
    except (ValueError, OSError, AttributeError, OmegaConfBaseException, YAMLError) as error:
        said = " ".join(str(error).split())
        return Link("stage key", locked, State.unknown, f"what the commit gives {stage} can not be told: {said}")
    outside = sorted(path for path, md5 in deps.items() if md5 is None)
    if outside:
        return Link("stage key", locked, State.unknown, f"neither git nor a stage keeps {', '.join(outside)}")
    key = key_of(cmd, deps, params)
    if key != locked:
        return Link("stage key", locked, State.broken, f"command, dependencies and parameters of the commit give {key}")
    return Link("stage key", locked, State.holds, "command, dependencies and parameters of the commit give the same")


def _given(
    repository: Repository, revision: Revision, stage: str
) -> tuple[str | None, dict[str, str | None], dict[str, Any]]:
    """Command, md5s of dependencies, and parameters of a stage, from the commit's own files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in {"dvc.yaml", "params.yaml", *(revision.lock[stage].get("params") or {})}:
            content = revision.read(name)
            if content is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        definition = stage_definition(stage, root)
        return definition["cmd"], md5s_now(repository, revision, definition["deps"]), definition["params"]
