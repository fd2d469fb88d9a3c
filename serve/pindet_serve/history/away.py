"""What a client is told while the database is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, SQLAlchemyError

from pindet_serve.api.problems import Problem


@contextmanager
def needing_database(what: str) -> Iterator[None]:
    """Turn a database that is away into a problem.

    Args:
        what: is not possible meanwhile, as ``signing in is not possible``.

    Raises:
        Problem: 503, to be tried again; 422 for a value that no database can look for, as text that holds a NUL.
    """
    try:
        yield
    except DataError as error:
        raise Problem(422, "Invalid parameters", "a value holds what no record can: remove NUL characters") from error
    except SQLAlchemyError as error:
        detail = f"{what} now; try again"
        raise Problem(503, "The database is away", detail, headers={"Retry-After": "5"}) from error
