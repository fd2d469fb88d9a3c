"""The overrides in force, kept as an experiment of ``conf/``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pindet.compose import EXPERIMENT, Differences, chooses_option, compose
from pindet.files import write_text
from pindet.params import ParamsError, leaves

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def save_experiment(name: str, found: Differences, params: Path, conf: Path, *, replace: bool = False) -> Path:
    """Write ``conf/experiment/<name>.yaml`` such that ``-S +experiment=<name>`` composes ``params`` again.

    Args:
        found: how ``params`` differs from ``conf``.
        replace: whether an experiment of that name may be replaced.

    Raises:
        ParamsError: nothing to save, a structure that overrides cannot express, or a name not allowed or taken.
    """
    path = conf / EXPERIMENT / f"{name}.yaml"
    _check(name, found, params, path, replace)
    wanted: dict[str, Any] = yaml.safe_load(params.read_text(encoding="utf-8"))
    groups = [override for override in found.overrides if chooses_option(override, conf)]
    experiments = [override.partition("=")[2] for override in groups if override.startswith("+")]
    before = path.read_text(encoding="utf-8") if path.exists() else None
    # What goes on from the experiment that it replaces takes its content over: none can name itself.
    content: dict[str, Any] = yaml.safe_load(before or "") or {} if name in experiments else {}
    options = [override.partition("=")[::2] for override in groups if not override.startswith("+")]
    base = dict(leaves(compose(conf, groups)))
    changed = {key: value for key, value in leaves(wanted) if base[key] != value}
    chosen = {f"override /{group}": option for group, option in options}
    own = [entry for entry in content.pop("defaults", []) if entry != "_self_" and not _names_one_of(entry, chosen)]
    others = [experiment for experiment in experiments if experiment != name]
    defaults = [*own, *others, *({group: option} for group, option in chosen.items())]
    content = ({"defaults": [*defaults, "_self_"]} if defaults else {}) | content
    for key, value in changed.items():
        _put(content, key.split("."), value)
    write_text(path, "# @package _global_\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    is_the_same = False
    try:
        is_the_same = compose(conf, [f"+{EXPERIMENT}={name}"]) == wanted
    finally:
        if not is_the_same:
            path.unlink() if before is None else write_text(path, before)
    if not is_the_same:
        raise ParamsError(f"{path} would not compose {params} again; save fewer changes, or write it by hand")
    return path


def _check(name: str, found: Differences, params: Path, path: Path, replace: bool) -> None:
    if not _NAME.fullmatch(name):
        raise ParamsError(f"the name is {name!r}; letters, digits, - and _ are allowed")
    if path.exists() and not replace:
        raise ParamsError(f"{path} exists; choose another name, or replace it with --force")
    if found.structure:
        raise ParamsError(f"no override explains {', '.join(found.structure)}; compose {params} anew, or edit conf/")
    if not found.overrides:
        raise ParamsError(f"{params} is what conf/ composes; there is nothing to save")


def _names_one_of(entry: Any, groups: dict[str, str]) -> bool:
    """Whether an entry of a defaults list chooses for one of these groups; Hydra takes one choice for each."""
    return isinstance(entry, dict) and not groups.keys().isdisjoint(entry)


def _put(tree: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value
