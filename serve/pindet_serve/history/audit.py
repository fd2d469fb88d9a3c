"""Who did what."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One deed.

    Attributes:
        actor: who; the name that was given when signing in failed.
        action: what, such as ``sign_in``, ``user.create``, ``model.reload``.
        target: on what.
        outcome: whether it was done.
        address: where the actor came from.
        details: what else there is to know; no secrets.
        at_ms: when, milliseconds since 1970.
    """

    actor: str
    action: str
    target: str = ""
    outcome: Literal["done", "refused"] = "done"
    address: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


AuditSink = Callable[[AuditEntry], None]
"""Takes an entry without waiting and without raising."""
