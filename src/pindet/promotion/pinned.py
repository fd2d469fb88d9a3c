"""Whether ``dvc.lock`` of a commit describes that commit: the very code, parameters and data that are in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from pindet.digests import folder_md5, is_left_out
from pindet.locked import changed_params
from pindet.project import PARAMS
from pindet.promotion.declared import differing_stages
from pindet.promotion.errors import unreadable
from pindet.promotion.repository import Repository
from pindet.promotion.revision import Revision


def stale(dvc: Any, repository: Repository, revision: Revision) -> list[str]:
    """Say what ``dvc.lock`` has otherwise than the commit: stages, what they were made of, files of theirs in git.

    A dependency that neither git nor a stage keeps (raw data outside the project) can not be checked here.

    Args:
        dvc: DVC's view of the project.
    """
    deps = {str(dep["path"]) for stage in revision.lock.values() for dep in stage.get("deps", [])}
    now, tree = md5s_now(repository, revision, deps), tree_of(repository, revision.commit)
    found = differing_stages(dvc, revision)
    for name, stage in revision.lock.items():
        for dep in stage.get("deps", []):
            path = str(dep["path"])
            if now[path] is not None and now[path] != dep.get("md5"):
                found.append(f"{name}: {path}")
        for out in stage.get("outs", []):
            path = str(out["path"])
            if path in tree and _blob_md5(repository, tree[path]) != out.get("md5"):
                found.append(f"{name}: {path}")
        found += [f"{name}: {PARAMS}:{key}" for key in changed_params(stage, revision.params)]
    return found


def params_not_run(revision: Revision) -> list[str]:
    """The parameters, ``params.yaml:training`` and so on, that are not those which ``dvc.lock`` was made with."""
    keys = {key for stage in revision.lock.values() for key in changed_params(stage, revision.params)}
    return sorted(f"{PARAMS}:{key}" for key in keys)


def md5s_now(repository: Repository, revision: Revision, paths: Iterable[str]) -> dict[str, str | None]:
    """DVC's md5 of each path as the commit has it; ``None`` for what neither git, a stage nor ``dvc add`` keeps."""
    tree = tree_of(repository, revision.commit)
    made = {str(out["path"]): out.get("md5") for stage in revision.lock.values() for out in stage.get("outs", [])}
    made |= added(revision, tree)
    return {path: made[path] if path in made else _md5(repository, tree, path) for path in paths}


def tree_of(repository: Repository, commit: str) -> dict[str, str]:
    """Git's name of each file of a commit, by path."""
    listed = repository.run("ls-tree", "-r", "-z", commit).split("\0")
    pairs = [entry.split("\t", 1) for entry in listed if entry]
    return {path: head.split()[2] for head, path in pairs}


def added(revision: Revision, tree: Mapping[str, str]) -> dict[str, Any]:
    """The md5 of what ``dvc add`` keeps, by path.

    Raises:
        PromotionError: a file of DVC's can not be read.
    """
    result = {}
    for path in (path for path in tree if path.endswith(".dvc") and not path.startswith(".dvc/")):
        try:
            content = yaml.safe_load(revision.read(path) or b"") or {}
        except yaml.YAMLError as error:
            raise unreadable(f"{path} of {revision.shown}", error) from error
        folder = path.rpartition("/")[0]
        for out in content.get("outs", []) if isinstance(content, dict) else []:
            result["/".join(part for part in (folder, str(out["path"])) if part)] = out.get("md5")
    return result


def _md5(repository: Repository, tree: Mapping[str, str], path: str) -> str | None:
    """DVC's md5 of a path as git has it; ``None`` if git has nothing there."""
    if path in tree:
        return _blob_md5(repository, tree[path])
    inside = {
        name.removeprefix(f"{path}/"): blob
        for name, blob in tree.items()
        if name.startswith(f"{path}/") and not is_left_out(name)
    }
    if not inside:
        return None
    return folder_md5({name: _blob_md5(repository, blob) for name, blob in inside.items()})


def _blob_md5(repository: Repository, blob: str) -> str:
    return hashlib.md5(repository.blob(blob), usedforsecurity=False).hexdigest()
