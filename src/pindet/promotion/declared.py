"""Whether the stages of ``dvc.yaml`` and those of ``dvc.lock`` are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pindet.promotion.revision import Revision

_PIPELINE = "dvc.yaml"


def differing_stages(dvc: Any, revision: Revision) -> list[str]:
    """Say what differs between the stages that ``dvc.yaml`` declares and those that ``dvc.lock`` has; empty if nothing.

    Commands, and which dependencies, parameters and outs there are, are compared; their contents are not.

    Args:
        dvc: DVC's view of the project, which resolves the templates of ``dvc.yaml``.
    """
    from dvc.exceptions import DvcException

    try:
        declared = _declared(dvc, revision)
    except DvcException as error:
        return [f"{_PIPELINE} can not be read ({' '.join(str(error).split())})"]
    lock = revision.lock
    found = [f"stage {name} is not in dvc.lock" for name in declared if name not in lock]
    found += [f"stage {name} is in dvc.lock alone: delete it there" for name in lock if name not in declared]
    for name in (name for name in declared if name in lock):
        found += _differences(name, declared[name], lock[name])
    return found


def _declared(dvc: Any, revision: Revision) -> dict[str, Any]:
    """DVC's stages of the revision's ``dvc.yaml``, by name."""
    from dvc.dvcfile import load_file

    if revision.read(_PIPELINE) is None:
        return {}
    revs = None if revision.is_workspace else [revision.commit]
    return {
        name: stage
        for _ in dvc.brancher(revs=revs, workspace=False)
        for name, stage in load_file(dvc, dvc.fs.join(dvc.root_dir, _PIPELINE)).stages.items()
    }


def _differences(name: str, stage: Any, locked: Mapping[str, Any]) -> Iterator[str]:
    from dvc.dependency import ParamsDependency

    if stage.cmd != locked["cmd"]:
        yield f"the command of {name}"
    params = locked.get("params", {})
    tracked = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    yield from _unmatched(
        name, "param",
        [f"{dep.def_path}:{key}" for dep in tracked for key in dep.params or params.get(dep.def_path) or [""]],
        [f"{path}:{key}" for path, values in params.items() for key in values],
    )  # fmt: skip
    deps = [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    yield from _unmatched(name, "dep", deps, _paths(locked, "deps"))
    yield from _unmatched(name, "out", [out.def_path for out in stage.outs], _paths(locked, "outs"))


def _unmatched(name: str, kind: str, declared: Iterable[str], locked: Iterable[str]) -> Iterator[str]:
    here, there = set(declared), set(locked)
    yield from (f"{kind} {each} of {name} is not in dvc.lock" for each in sorted(here - there))
    yield from (f"{kind} {each} of {name} is in dvc.lock alone: dvc commit -f {name}" for each in sorted(there - here))


def _paths(locked: Mapping[str, Any], kind: str) -> list[str]:
    return [str(each["path"]) for each in locked.get(kind, [])]
