"""What each process remembers of the users, so that checking a token asks no database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from pindet_serve.auth.principal import Principal
from pindet_serve.auth.users import User, Users

REFRESH_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Directory:
    """A copy of the users, renewed every few seconds; an older one serves while the database is away.

    Until the first copy could be made, a valid token is believed as it is: detection must not wait for a database.

    Args:
        users: where they are.
        prepare: done before the first copy is made, as soon as the database is there.
        refresh_seconds: a change made by another replica is known here within that time.
    """

    def __init__(
        self,
        users: Users,
        prepare: Callable[[], object] = lambda: None,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self._users = users
        self._prepare = prepare
        self._refresh_seconds = refresh_seconds
        self._known: dict[str, User] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to keep up."""
        self._task = asyncio.create_task(self._keep_up(), name="users")

    async def stop(self) -> None:
        """Stop keeping up."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def note(self, user: User) -> None:
        """Take over a change that was made here, at once."""
        if self._known is not None:
            self._known[user.name] = user

    def forget(self, name: str) -> None:
        """Take over a removal that was made here, at once."""
        if self._known is not None:
            self._known.pop(name, None)

    def still_valid(self, principal: Principal) -> bool:
        """Whether the user behind a valid token still has the rights that it states."""
        if self._known is None:
            return True
        user = self._known.get(principal.name)
        return user is not None and user.enabled and user.generation == principal.generation

    async def refresh(self) -> None:
        """Renew the copy now.

        Raises:
            SQLAlchemyError: the database is away.
        """
        self._known = {user.name: user for user in await asyncio.to_thread(self._users.all)}

    async def _keep_up(self) -> None:
        failing, prepared = False, False
        while True:
            try:
                if not prepared:
                    await asyncio.to_thread(self._prepare)
                prepared = True
                await self.refresh()
                failing = False
            except Exception as error:  # whatever it is: without this task nobody's rights would end any more
                if not failing:
                    unforeseen = None if isinstance(error, SQLAlchemyError) else error
                    kind = type(error).__name__
                    _log.warning("the users can not be read, the last copy serves: %s", kind, exc_info=unforeseen)
                failing = True
            await asyncio.sleep(self._refresh_seconds)
