"""A wish for a release: said by the server on the status bus, signed, and carried out by the release agent.

The bus carries what anybody says who knows Redis' password; the signature says that it was a server of this place.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["promote", "rollback"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STAGE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}[A-Za-z0-9]$"
VERSION = r"^v(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$"
LONGEST_AGE = 60.0
"""Seconds; a wish that is older is not carried out."""
MOST_AHEAD = 30.0
"""Seconds that the clock of who wishes may be ahead."""
_ALLOWED = {
    "id": r"[0-9a-f]{32}", "kind": "|".join(KINDS), "stage": STAGE.strip("^$"), "version": VERSION.strip("^$"),
    "by": r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}",
}  # fmt: skip
_CONTEXT = b"pindet release.wanted 1\n"


class WishError(ValueError):
    """It is no wish to be carried out; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wished for.

    Attributes:
        kind: ``promote``, or ``rollback`` to what the stage held before.
        stage: that shall change.
        version: that it shall hold.
        by: name of the user.
        id: 32 hexadecimal digits, its own.
        ts: when, seconds since 1970.

    Raises:
        WishError: a text that has other characters than it may.
    """

    kind: Kind
    stage: str
    version: str
    by: str
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    ts: float = field(default_factory=lambda: round(time.time(), 3))

    def __post_init__(self) -> None:
        for name, pattern in _ALLOWED.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
                raise WishError(f"{name} is {str(value)[:80]!r}; allowed is {pattern}")
        if isinstance(self.ts, bool) or not isinstance(self.ts, int | float):
            raise WishError(f"ts is {str(self.ts)[:80]!r}; allowed are seconds since 1970")

    def signed(self, secret: str) -> dict[str, Any]:
        """The data of the event ``release.wanted``."""
        return {**asdict(self), "signature": self._signature(secret)}

    def check_age(self) -> None:
        """Refuse what comes too late.

        Raises:
            WishError: it is older than a minute, or from the future.
        """
        age = time.time() - self.ts
        if not -MOST_AHEAD <= age <= LONGEST_AGE:
            raise WishError(
                f"it is {age:.0f} s old; at most {LONGEST_AGE:.0f} s are allowed, so that nothing is carried out late. "
                "Wish again; if it is so each time, compare the clocks of server and release agent"
            )

    def _signature(self, secret: str) -> str:
        said = json.dumps([self.id, self.kind, self.stage, self.version, self.by, self.ts])
        return hmac.new(secret.encode(), _CONTEXT + said.encode(), hashlib.sha256).hexdigest()


def read_wish(data: Mapping[str, Any], secret: str) -> Wish:
    """Read the data of an event ``release.wanted``; its age is for :meth:`Wish.check_age` to judge.

    Raises:
        WishError: a member that is missing or not allowed, or another signature.
    """
    names = ("kind", "stage", "version", "by", "id", "ts")
    if missing := [name for name in names if name not in data]:
        raise WishError(f"it lacks {', '.join(missing)}")
    wish = Wish(**{name: data[name] for name in names})
    signature = str(data.get("signature", ""))
    if not hmac.compare_digest(wish._signature(secret).encode(), signature.encode()):
        raise WishError("its signature is not one of this place; server and release agent need the same RELEASE_SECRET")
    return wish
