"""The state of everything, put together from the events so far: what a client gets first."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from pindet_serve.status.event import Event

MOST = 512
FORGET_SECONDS = 60.0


class Snapshot:
    """Keeps the last event of each subject and family.

    Heartbeats are kept for ``FORGET_SECONDS`` after the last one; of the rest the latest 512 are kept. Detections,
    which tell nothing about state, are not.
    """

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[str, tuple[str, str]], Event] = OrderedDict()

    def add(self, event: Event) -> None:
        """Take an event into account."""
        family = event.type.split(".")[0]
        if family in ("detection", "snapshot", "ping"):
            return
        key = (family, event.subject)
        self._latest[key] = event
        self._latest.move_to_end(key)
        if len(self._latest) > MOST:
            self._latest.popitem(last=False)

    def known(self, type: str) -> list[Event]:
        """Those of the events kept that are of a type."""
        return [event for event in self._latest.values() if event.type == type]

    def data(self, bus: dict[str, Any], *, reset: bool) -> dict[str, Any]:
        """The data of a snapshot event.

        Args:
            bus: how the bus is: backend, state.
            reset: whether events may be missing between what the client last read and this snapshot.
        """
        now = time.time()
        replicas, states = [], []
        for (family, _), event in list(self._latest.items()):
            age = now - event.ts
            if family != "heartbeat":
                states.append(_entry(event, age))
            elif age <= FORGET_SECONDS:
                replicas.append(_entry(event, age))
            else:
                del self._latest[(family, event.subject)]
        return {"reset": reset, "bus": bus, "replicas": replicas, "states": states}


def _entry(event: Event, age: float) -> dict[str, Any]:
    # The age spares the client comparing its clock with the server's.
    return {
        "id": event.id,
        "type": event.type,
        "ts": event.ts,
        "age": round(max(0.0, age), 3),
        "source": event.source,
        "data": dict(event.data),
    }
