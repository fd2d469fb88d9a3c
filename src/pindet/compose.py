"""``params.yaml`` against ``conf/``: compose it as DVC does, and say in which overrides the two differ."""

from __future__ import annotations

import difflib
import logging
import re
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pindet.params import TARGET, ParamsError, leaves

CONFIG = "config"
EXPERIMENT = "experiment"
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
_RESERVED = {"null", "nan", "inf", "true", "false"}


@dataclass(frozen=True)
class Differences:
    """How ``params.yaml`` differs from what ``conf/`` composes.

    Attributes:
        overrides: what to give after ``-S`` to get the file: an experiment, group options, then leaves.
        structure: keys that no override explains: each is in only one of the two.
    """

    overrides: list[str] = field(default_factory=list)
    structure: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 the same, 1 overrides in force, 2 structure differs."""
        return 2 if self.structure else int(bool(self.overrides))


def compose(conf: Path, overrides: list[str]) -> dict[str, Any]:
    """Compose ``conf/config.yaml`` with DVC's own composition and return plain values.

    Raises:
        ParamsError: Hydra refuses the configuration or an override.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "params.yaml"
        compose_into(target, conf, overrides)
        composed: dict[str, Any] = yaml.safe_load(target.read_text(encoding="utf-8"))
        return composed


def compose_into(
    target: Path, conf: Path, overrides: list[str], *, accept: Callable[[Path], None] | None = None
) -> None:
    """Write what ``conf/`` composes to ``target``, byte for byte what ``dvc exp run -S …`` would write.

    Args:
        accept: called with the composed file before it takes its place; what it raises leaves ``target`` alone.

    Raises:
        ParamsError: as :func:`compose`.
    """
    if not (conf / f"{CONFIG}.yaml").is_file():
        raise ParamsError(f"{conf / CONFIG}.yaml is missing; run this in the project's root, or restore conf/ from git")
    # Hydra and DVC take half a second to import: only when they are needed.
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    logging.getLogger("dvc.utils.hydra").setLevel(logging.WARNING)
    temporary = target.with_name(f".tmp-{target.name}")  # DVC picks the format by the suffix
    try:
        # The second argument is a plug-in folder; DVC passes its own .dvc/… here, this project has no plug-ins.
        compose_and_dump(str(temporary), str(conf.resolve()), None, CONFIG, str(conf.resolve()), list(overrides))
        if accept is not None:
            _accepted(accept, temporary, target)
        temporary.replace(target)
    except (HydraException, OmegaConfBaseException) as error:
        raise ParamsError(f"conf/ does not compose with {overrides}: {_explained(error, conf, overrides)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _explained(error: Exception, conf: Path, overrides: list[str]) -> str:
    """Hydra's message, but of a key that is not there: it advises to add that, which no stage would take.

    Of an override that it cannot read it only quotes its grammar.
    """
    override = getattr(error, "override", None)
    if override and re.fullmatch(r"[^=]+=[^\s'\"\[{].*", override):
        key, _, value = override.partition("=")
        return f"{override} cannot be read; put the value in quotes: {shlex.quote(f'{key}={_value(value)}')}"
    unknown = re.match(r"Could not override '([^']+)'", str(error))
    if not unknown:
        return str(error)
    key = unknown.group(1)
    options = [each for each in overrides if chooses_option(each, conf)]
    known = [name for name, _ in leaves(compose(conf, options))]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    of_group = [name for name in known if name.partition(".")[0] == key.partition(".")[0]]
    return f"there is no key {key!r}{hint}; allowed are {', '.join(of_group or known)}"


def chooses_option(override: str, conf: Path) -> bool:
    """Whether an override chooses one of a group's files, rather than setting a value."""
    group, _, option = override.removeprefix("+").partition("=")
    return (conf / group / f"{option}.yaml").is_file()


def _accepted(accept: Callable[[Path], None], temporary: Path, target: Path) -> None:
    try:
        accept(temporary)
    except ParamsError as error:
        raise ParamsError(str(error).replace(str(temporary), str(target))) from error


def differences(params: Mapping[str, Any], conf: Path) -> Differences:
    """Explain ``params`` as overrides of what ``conf/`` composes.

    The nearest experiment is taken first, then for each group the option that has the group's keys, then leaves.
    """
    best = _explain(params, conf, [])
    if not best.exit_code:
        return best
    for name in _options(conf, EXPERIMENT):
        candidate = _explain(params, conf, [f"+{EXPERIMENT}={name}"])
        if _cost(candidate) < _cost(best):
            best = candidate
    return best


def _cost(difference: Differences) -> tuple[int, int]:
    return len(difference.structure), len(difference.overrides)


def _explain(params: Mapping[str, Any], conf: Path, base: list[str]) -> Differences:
    chosen = list(base)
    composed = compose(conf, chosen)
    for group in sorted(params.keys() & composed.keys()):
        if not _same_keys(params[group], composed[group]):
            chosen += _matching_option(params[group], group, conf, chosen)
    if chosen != base:
        composed = compose(conf, chosen)
    here, there = dict(leaves(params)), dict(leaves(composed))
    changed = [f"{key}={_value(here[key])}" for key in sorted(here.keys() & there.keys()) if here[key] != there[key]]
    only_here = [f"{key} (only in params.yaml)" for key in sorted(here.keys() - there.keys())]
    only_there = [f"{key} (only in conf/)" for key in sorted(there.keys() - here.keys())]
    return Differences(chosen + changed, only_here + only_there)


def _matching_option(value: object, group: str, conf: Path, base: list[str]) -> list[str]:
    fitting = []
    for option in _options(conf, group):
        override = f"{group}={option}"
        composed = compose(conf, [*base, override])[group]
        if _same_keys(value, composed):
            here, there = dict(leaves(value)), dict(leaves(composed))
            fitting.append((sum(here[key] != there[key] for key in here), override))
    return [min(fitting)[1]] if fitting else []


def _same_keys(one: object, other: object) -> bool:
    here, there = dict(leaves(one)), dict(leaves(other))
    targets = [tree.get(TARGET) for tree in (here, there)]
    return here.keys() == there.keys() and targets[0] == targets[1]


def _options(conf: Path, group: str) -> list[str]:
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def _value(value: object) -> str:
    """A value as Hydra's override grammar reads it back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_value(item)}" for name, item in value.items()) + "}"
    text = str(value)
    if _PLAIN.fullmatch(text) and isinstance(yaml.safe_load(text), str) and text.lower() not in _RESERVED:
        return text
    # Hydra reads a backslash as itself but before a quote. Double quotes: a shell's own are single.
    escaped = re.sub(r'(\\*)("|\Z)', lambda match: 2 * match[1] + ("\\" + match[2] if match[2] else ""), text)
    return f'"{escaped}"'
