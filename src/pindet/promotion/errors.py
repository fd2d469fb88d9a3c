"""What stops a promotion; each has the exit status that scripts see."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pindet.promotion.halfway import Halfway
    from pindet.promotion.promote import Outcome


class PromotionError(ValueError):
    """The command can not do what it was asked; the message says why and what to do."""

    exit_code = 1


class RefusedError(PromotionError):
    """A gate is closed; nothing was changed but, at most, objects added to the remote.

    Attributes:
        outcome: what the gates said, as far as they were asked.
    """

    exit_code = 3
    outcome: Outcome | None = None


class LostError(PromotionError):
    """Another promotion was faster; this one changed nothing but, at most, objects added to the remote.

    Attributes:
        outcome: what the stage holds now, if that is known.
    """

    exit_code = 4
    outcome: Halfway | None = None


class IncompleteError(PromotionError):
    """It is tagged, and a later step failed; ``pindet reconcile`` finishes it.

    Attributes:
        outcome: what was tagged, what is done and what is left, if that is known.
    """

    exit_code = 5
    outcome: Halfway | None = None


def unreadable(what: str, error: yaml.YAMLError) -> PromotionError:
    """The error of a file that is no YAML, in one line."""
    return PromotionError(f"{what} can not be read: {' '.join(str(error).split())}")


def told(error: Exception) -> str:
    """An error in a line; of one that nobody foresaw, its kind and place as well."""
    if isinstance(error, (ValueError, OSError)):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {error}"
