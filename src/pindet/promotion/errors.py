"""What stops a promotion; each has the exit status that scripts see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    """Another promotion was faster; this one changed nothing but, at most, objects added to the remote."""

    exit_code = 4


class IncompleteError(PromotionError):
    """It is tagged, and a later step failed; the same command, or ``pindet reconcile``, finishes it."""

    exit_code = 5
