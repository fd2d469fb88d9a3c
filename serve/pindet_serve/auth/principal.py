"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least right to the most; each includes those before it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Someone whose identity is proved.

    Attributes:
        name: of the user.
        role: what the user may do.
        generation: which generation of the user's rights the proof is of.
        expires: when the proof ends, seconds since 1970; ``None`` for never.
        signed_in: when the password was given, seconds since 1970; ``None`` without one.
    """

    name: str
    role: Role
    generation: int = 0
    expires: float | None = None
    signed_in: float | None = None

    def may(self, role: Role) -> bool:
        """Whether this role includes another."""
        return ROLES.index(self.role) >= ROLES.index(role)


NOBODY_NEEDED = Principal("anonymous", "admin")
"""Everyone, while sign-in is off."""
