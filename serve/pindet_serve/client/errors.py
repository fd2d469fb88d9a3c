"""What the server refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """An answer that is an error.

    Attributes:
        status: HTTP status, or the code that a socket was closed with; 0 when the server was not reached.
        problem: the ``application/problem+json`` of the answer, if it was one.
        retry_after_s: seconds after which the server wants to be asked again, if it said so.
    """

    def __init__(
        self, status: int, detail: str, problem: Mapping[str, Any] | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{status}: {detail}" if status else detail)
        self.status = status
        self.problem = dict(problem or {})
        self.retry_after_s = retry_after_s
