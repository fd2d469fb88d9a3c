"""What a sweep varies: ``key=log(1e-4,1e-2)``, ``key=uniform(0,1)``, ``key=int(2,8)`` or ``key=choice(a,b)``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

_VARIED = re.compile(r"(?P<key>[^=]+)=(?P<kind>log|uniform|int|choice)\((?P<values>.*)\)")
ALLOWED = "log(low,high), uniform(low,high), int(low,high) and choice(a,b,…)"


class SpaceError(ValueError):
    """What a sweep is to vary cannot be understood; the message says what is allowed."""


@dataclass(frozen=True)
class Varied:
    """One parameter and the values that it may take.

    Attributes:
        key: as in an override.
        kind: ``log``, ``uniform``, ``int`` or ``choice``.
        values: lowest and highest, or the choices.
    """

    key: str
    kind: str
    values: tuple[str, ...]

    def suggest(self, trial: optuna.Trial) -> str:
        """The override for a trial."""
        if self.kind == "choice":
            return f"{self.key}={trial.suggest_categorical(self.key, self.values)}"
        if self.kind == "int":
            return f"{self.key}={trial.suggest_int(self.key, int(self.values[0]), int(self.values[1]))}"
        low, high = map(float, self.values)
        return f"{self.key}={trial.suggest_float(self.key, low, high, log=self.kind == 'log'):.6g}"


@dataclass(frozen=True)
class Space:
    """What varies, and the overrides that every trial has."""

    varied: tuple[Varied, ...]
    fixed: tuple[str, ...]

    def overrides(self, trial: optuna.Trial) -> list[str]:
        """All overrides of a trial."""
        return [*self.fixed, *(each.suggest(trial) for each in self.varied)]


def parse(overrides: Sequence[str]) -> Space:
    """Read overrides of which some give a range in place of a value.

    Raises:
        SpaceError: nothing varies, or a range is no range.
    """
    matches = [(override, _VARIED.fullmatch(override)) for override in overrides]
    varied = tuple(_varied(override, match) for override, match in matches if match is not None)
    if not varied:
        raise SpaceError(f"nothing varies in {' '.join(overrides) or 'no overrides'}; give one of {ALLOWED} as a value")
    return Space(varied, tuple(override for override, match in matches if match is None))


def _varied(override: str, match: re.Match[str]) -> Varied:
    values = tuple(value.strip() for value in match["values"].split(",") if value.strip())
    kind = match["kind"]
    try:
        fits = len(values) >= 2 if kind == "choice" else _is_range(kind, values)
    except ValueError:
        fits = False
    if not fits:
        raise SpaceError(f"{override!r} is no range; allowed are {ALLOWED}, low below high, above 0 for log")
    return Varied(match["key"], kind, values)


def _is_range(kind: str, values: tuple[str, ...]) -> bool:
    low, high = (int(value) if kind == "int" else float(value) for value in values)
    return low < high and (kind != "log" or low > 0)
