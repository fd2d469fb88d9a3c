"""Passwords: argon2id, at most two at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 10
LONGEST = 256
_AT_ONCE = 2
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class PasswordError(ValueError):
    """A password that must not be used; the message says why."""


class Passwords:
    """Hashes and verifies with argon2id, 19 MiB and two passes each: OWASP's least for servers.

    They run in two threads of their own, so that guessing takes neither all cores nor much memory, and keeps nothing
    else waiting.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._nobody = _hash_of_nobody()

    def hash(self, password: str, name: str = "") -> str:
        """The hash of a new password.

        Raises:
            PasswordError: shorter than 10 or longer than 256 characters, or the user's name.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise PasswordError(f"the password has {len(password)} characters; {SHORTEST} to {LONGEST} are allowed")
        if name and password.lower() == name.lower():
            raise PasswordError("the password is the user's name; choose another")
        return self._threads.submit(_HASHER.hash, password).result()

    async def verify(self, hash: str | None, password: str) -> bool:
        """Whether a password fits a hash; as slow when there is no hash, so that no one learns who exists."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, hash, password)

    def _verify(self, hash: str | None, password: str) -> bool:
        try:
            return _HASHER.verify(hash or self._nobody, password[: LONGEST + 1]) and hash is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _hash_of_nobody() -> str:
    return _HASHER.hash("nobody has this password")
