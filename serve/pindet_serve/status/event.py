"""One thing that happened, as the bus carries it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FAMILIES = ("heartbeat", "model", "training", "pipeline", "release", "service", "detection", "job", "snapshot", "ping")
LARGEST = 64 * 1024
_TYPE = re.compile(r"[a-z]+(\.[a-z_]+)?")
_ID = re.compile(r"([0-9]{1,15})-([0-9]{1,15})(?:-([0-9]{1,15}))?")

Position = tuple[int, int, int]
"""Where an event stands: milliseconds since 1970, number within them, number among those only this replica has."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the bus; ``{id, type, ts, source, data}`` as JSON.

    Attributes:
        id: where it stands; whoever has read it resumes after it. ``ms-n`` for what every replica has, ``ms-n-m`` for
            what one replica says to its own clients only.
        type: ``heartbeat``, ``detection``, or a family and what happened: ``model.loaded``.
        ts: when it happened, seconds since 1970 (UTC).
        source: which process says so.
        data: what else there is to know; JSON.
    """

    id: str
    type: str
    ts: float
    source: str
    data: Mapping[str, Any]

    @property
    def subject(self) -> tuple[str, str]:
        """What the event is about: the process, and which of its jobs or runs if it tells of one."""
        return self.source, str(self.data.get("id", self.data.get("run", "")))

    def text(self) -> str:
        """The event as one JSON object."""
        return json.dumps(asdict(self), allow_nan=False, separators=(",", ":"))


def encode_body(type: str, ts: float, source: str, data: Mapping[str, Any]) -> str:
    """The JSON of an event that has no id yet; :func:`with_id` completes it.

    Raises:
        ValueError: an unknown type, data that is no JSON (NaN is none), or more than 64 KiB.
    """
    if not _TYPE.fullmatch(type) or type.split(".")[0] not in FAMILIES:
        raise ValueError(f"the event type is {type!r}; allowed are {', '.join(FAMILIES)}, with .what_happened")
    try:
        body = json.dumps(
            {"type": type, "ts": ts, "source": source, "data": dict(data)}, allow_nan=False, separators=(",", ":")
        )
    except TypeError as error:
        raise ValueError(f"the data of {type} is no JSON: {error}") from error
    if len(body) > LARGEST:
        raise ValueError(f"the event {type} has {len(body)} characters; at most {LARGEST} are allowed")
    return body


def with_id(id: str, body: str) -> str:
    """Complete the JSON of :func:`encode_body`."""
    return f'{{"id":"{id}",{body[1:]}'


def decode(text: str) -> Event:
    """Read the JSON of an event."""
    return Event(**json.loads(text))


def format_position(position: Position) -> str:
    """The id of the event at a position."""
    milliseconds, number, local = position
    return f"{milliseconds}-{number}-{local}" if local else f"{milliseconds}-{number}"


def parse_position(id: str) -> Position | None:
    """The position that an id names; ``None`` when it is no id."""
    match = _ID.fullmatch(id)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None
