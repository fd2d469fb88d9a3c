"""``params.yaml``: loaded, checked against what it configures, and built.

The file holds what Hydra composed from ``conf/`` and is the only configuration that the stages read. A mapping with
a ``_target_`` configures the callable of that import path: its keys are the callable's arguments, so the signature
and its type hints are the schema, and there is no second one to keep in step.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.utils
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

GROUPS = ("seed", "data", "model", "training", "evaluation", "export", "tracking", "runtime")
TARGET = "_target_"
LARGEST_SEED = 2**32 - 1
PROVIDED = {"model": ("num_classes",)}
"""Arguments that a stage knows and the file does not hold."""


class ParamsError(ValueError):
    """Something in the parameters is wrong; the message names the key, the value and what is allowed."""


@dataclass(frozen=True)
class Params:
    """The parameters of one pipeline, checked where a stage asks for them.

    Args:
        tree: the parameters.
        check_given: raises when they, or what else the stage was given, are not what they were when it began.
    """

    tree: DictConfig
    check_given: Callable[[], None] = lambda: None

    def check(self, group: str, *provided: str) -> None:
        """Check a group without building it: its keys, their types, and that its targets import.

        Args:
            provided: names of arguments that the file does not hold.

        Raises:
            ParamsError: as :meth:`build`, but for values that only the target itself refuses.
        """
        if group == "seed":
            _check_seed(self.tree[group])
        _check(self._plain(group), group, provided)

    def build(self, group: str, **provided: object) -> Any:
        """Check a group and instantiate it.

        Args:
            group: one of :data:`GROUPS`; ``seed`` and other plain values come back as they are.
            provided: arguments that the caller knows and the file does not (``num_classes``, say).

        Raises:
            ParamsError: an unknown or missing key, a value of the wrong type, a target that does not import, or a
                value that the target itself refuses.
        """
        self.check(group, *provided)
        node = self.tree[group]
        if not OmegaConf.is_config(node):
            return node
        try:
            return hydra.utils.instantiate(node, **provided, _convert_="all")
        except hydra.errors.InstantiationException as error:
            cause = error.__cause__ or error
            raise ParamsError(f"{group}: {cause}") from error

    def _plain(self, group: str) -> Any:
        node = self.tree[group]
        return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def load_params(path: Path = Path("params.yaml"), text: str | None = None) -> Params:
    """Load the parameters.

    Args:
        path: the file.
        text: what it holds; read from it when None.

    Raises:
        ParamsError: the file is missing or no YAML, or its top level is not exactly :data:`GROUPS`.
    """
    with _readable(path):
        tree = OmegaConf.load(path) if text is None else OmegaConf.create(text)
        OmegaConf.resolve(tree)
    if not isinstance(tree, DictConfig):
        raise _no_mapping(path, "a list")
    _check_names([str(key) for key in tree], GROUPS, GROUPS, str(path))
    return Params(tree)


def load_tree(path: Path) -> dict[str, Any]:
    """Load the file as the plain values that DVC sees, whatever its keys.

    Raises:
        ParamsError: the file is missing or no YAML, or holds no mapping.
    """
    with _readable(path):
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(tree, dict):
        raise _no_mapping(path, type(tree).__name__)
    return tree


def leaves(value: object, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of each leaf; a list is one leaf."""
    if isinstance(value, Mapping) and value:
        for name, child in value.items():
            yield from leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the dotted key of each leaf that is not the same in both, and its values; None where it is not there."""
    here, there = dict(leaves(one)), dict(leaves(other))
    return [
        (key, here.get(key), there.get(key))
        for key in sorted(here.keys() | there.keys())
        if key not in here or key not in there or here[key] != there[key]
    ]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise ParamsError(f"{path} is missing; compose it from conf/ or restore it with `git checkout {path}`")
    try:
        yield
    except (yaml.YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"{path} cannot be read: {error}; mend it, or compose it anew with `pindet params`"
        ) from error


def _no_mapping(path: Path, seen: str) -> ParamsError:
    return ParamsError(f"{path} holds {seen}; allowed is a mapping with the keys {', '.join(GROUPS)}")


def check_params(path: Path, *, build_model: bool = False) -> None:
    """Check every group of a file: build those that are only values, look at the keys of the others.

    A model takes a while to build, and a runtime is of the machine that will train, which may be another.

    Args:
        build_model: build it all the same, for a class, to have its values judged.

    Raises:
        ParamsError: as :meth:`Params.build` or :meth:`Params.check` of each group.
    """
    params = load_params(path)
    for group in GROUPS:
        if group == "model" and build_model:
            params.build(group, num_classes=1)
        elif group in ("model", "runtime"):
            params.check(group, *PROVIDED.get(group, ()))
        else:
            params.build(group)


def _check_seed(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        raise ParamsError(f"seed is {value!r}; a whole number from 0 to {LARGEST_SEED} is allowed; set -S seed=…")


def missing_root(tree: Mapping[str, Any]) -> str | None:
    """Say so where ``data.root`` is not there: of a missing dependency DVC itself says no more than its name."""
    root = tree["data"].get("root") if isinstance(tree.get("data"), Mapping) else None
    if root is None or Path(str(root)).exists():
        return None
    return (
        f"data.root is {root!r}, which does not exist; give the folder of your data set with "
        "-S data.root=/path/to/it, or fetch it with `dvc pull` where the project keeps it"
    )


def _check(value: object, key: str, provided: typing.Iterable[str] = ()) -> None:
    """Check every ``???`` and every ``_target_`` below ``value``, which stands at ``key``."""
    if value == "???":
        raise ParamsError(f"{key} is '???', which stands for a value still to be given; set it with -S {key}=…")
    if isinstance(value, Mapping):
        for name, child in value.items():
            _check(child, f"{key}.{name}")
        if TARGET in value:
            _check_arguments(value, key, set(provided))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for position, child in enumerate(value):
            _check(child, f"{key}[{position}]")


def _check_arguments(node: Mapping[Any, Any], key: str, provided: set[str]) -> None:
    target = _import(node[TARGET], f"{key}.{TARGET}")
    arguments = {name: value for name, value in node.items() if not str(name).startswith("_")}
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in provided
    }
    required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    _check_names([str(name) for name in arguments], list(parameters), required, key)
    hints = _type_hints(target)
    for name, value in arguments.items():
        built_from_a_target = isinstance(value, Mapping) and TARGET in value
        if name in hints and not built_from_a_target:
            _check_type(value, hints[name], f"{key}.{name}")


def _import(path: object, key: str) -> Any:
    try:
        return hydra.utils.get_object(str(path))
    except (ImportError, AttributeError, ValueError) as error:
        raise ParamsError(f"{key} is {path!r}, which does not import: {error}") from error


def _type_hints(target: Any) -> dict[str, Any]:
    return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)


def _check_names(seen: list[str], allowed: Sequence[str], required: Sequence[str], where: str) -> None:
    for name in seen:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, 1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            known = ", ".join(sorted(allowed))
            raise ParamsError(f"{where} has the unknown key {name!r}{hint}; allowed are {known}")
    for name in required:
        if name not in seen:
            raise ParamsError(f"{where} lacks the key {name!r}; required are {', '.join(required)}")


def _check_type(value: object, hint: Any, key: str) -> None:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True))
    except PydanticUserError:  # a hint that is a dataclass or a model has a configuration of its own
        adapter = TypeAdapter(hint)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        seen = first["input"]
        remedy = " (YAML reads a bare yes, no, on or off as a boolean: put it in quotes)"
        boolean = remedy if isinstance(seen, bool) else ""
        raise ParamsError(f"{key}{place} is {seen!r}: {first['msg'].lower()}{boolean}") from error
