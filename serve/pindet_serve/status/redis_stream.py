"""How events lie in Redis: one stream, one channel, and one number per publishing process.

Stream entries have the fields ``event`` (JSON without id), ``sender`` and ``number``. The channel carries
``id sender number event`` of each, separated by blanks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pindet_serve.status.event import Position, parse_position

STREAM = "{pindet:status}:events"
CHANNEL = "{pindet:status}:live"
SENDER = "{pindet:status}:sender:"
SENDER_SECONDS = 24 * 3600

# A script is Redis' transaction in which a later command may use the answer of an earlier one: the stream id.
# The number makes it repeatable: what a frozen server carries out after we gave up is not carried out again.
PUBLISH = """
if tonumber(ARGV[2]) <= tonumber(redis.call('GET', KEYS[2]) or '0') then return false end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*',
    'sender', ARGV[1], 'number', ARGV[2], 'event', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[5])
redis.call('PUBLISH', ARGV[6], id .. ' ' .. ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
return id
"""


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event as Redis gives it."""

    position: Position
    sender: str
    number: int
    body: str


def publish_arguments(sender: str, number: int, body: str, max_events: int) -> list[Any]:
    """The arguments of ``EVAL`` that publish one event."""
    keys = [STREAM, SENDER + sender]
    return [PUBLISH, len(keys), *keys, sender, number, body, max_events, SENDER_SECONDS, CHANNEL]


def from_stream(entry: tuple[str, dict[str, str]]) -> Arrived:
    """An entry of the stream."""
    id, values = entry
    return Arrived(_position(id), values["sender"], int(values["number"]), values["event"])


def from_channel(message: str) -> Arrived:
    """A message of the channel."""
    id, sender, number, body = message.split(" ", 3)
    return Arrived(_position(id), sender, int(number), body)


def _position(id: str) -> Position:
    position = parse_position(id)
    if position is None:
        raise ValueError(f"{id!r} is no id of a Redis stream; something else writes to {STREAM}")
    return position
