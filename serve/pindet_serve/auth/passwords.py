"""Passwords: argon2id, at most two at a time."""

from __future__ import annotations

import asyncio
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 10
LONGEST = 256
_AT_ONCE = 2


class PasswordError(ValueError):
    """A password that must not be used; the message says why."""


class Passwords:
    """Hashes and verifies with argon2id, 19 MiB and two passes each: OWASP's least for servers.

    At most two run at a time, so that signing in can take neither all cores nor much memory.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = self._hasher.hash("nobody has this password")

    def hash(self, password: str, name: str = "") -> str:
        """The hash of a new password.

        Raises:
            PasswordError: shorter than 10 or longer than 256 characters, or the user's name.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise PasswordError(f"the password has {len(password)} characters; {SHORTEST} to {LONGEST} are allowed")
        if name and password.lower() == name.lower():
            raise PasswordError("the password is the user's name; choose another")
        with self._slots:
            return self._hasher.hash(password)

    async def verify(self, hash: str | None, password: str) -> bool:
        """Whether a password fits a hash; as slow when there is no hash, so that no one learns who exists."""
        return await asyncio.to_thread(self._verify, hash, password)

    def _verify(self, hash: str | None, password: str) -> bool:
        with self._slots:
            try:
                return self._hasher.verify(hash or self._nobody, password[: LONGEST + 1]) and hash is not None
            except (VerificationError, InvalidHashError):
                return False
