"""The state of everything, put together from the events so far: what a client gets first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pindet_serve.status.event import Event

MOST = 512
FORGET_SECONDS = 60.0
MOST_CURVES = 8
MOST_POINTS = 400
MOST_METRICS = 16
LASTING = ("name", "epoch", "epochs")
"""What holds of a training until something else is told."""


class Snapshot:
    """Keeps the last event of each subject and family.

    Heartbeats are kept for ``FORGET_SECONDS`` after the last one; of the rest the latest 512 are kept. Detections,
    which tell nothing about state, are not. Of the latest trainings it keeps the curves, too: who comes in the middle
    of one sees it whole.
    """

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[str, tuple[str, str]], Event] = OrderedDict()
        self._curves: OrderedDict[tuple[str, str], dict[int, dict[str, float]]] = OrderedDict()

    def add(self, event: Event) -> None:
        """Take an event into account."""
        family = event.type.split(".")[0]
        if family in ("detection", "snapshot", "ping"):
            return
        key = (family, event.subject)
        if event.type == "training.progress":
            self._draw(event)
        if family == "training" and event.type != "training.started" and (before := self._latest.get(key)):
            lasting = {name: before.data[name] for name in LASTING if name in before.data}
            event = replace(event, data={**lasting, **event.data})
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
            if family == "training" and (curve := self._curves.get(event.subject)):
                states.append(_entry(event, age) | {"curve": sorted(curve.items())})
            elif family != "heartbeat":
                states.append(_entry(event, age))
            elif age <= FORGET_SECONDS:
                replicas.append(_entry(event, age))
            else:
                del self._latest[(family, event.subject)]
        return {"reset": reset, "bus": bus, "replicas": replicas, "states": states}

    def _draw(self, event: Event) -> None:
        epoch, metrics = event.data.get("epoch"), event.data.get("metrics")
        if type(epoch) is not int or not isinstance(metrics, Mapping):
            return
        curve = self._curves.setdefault(event.subject, {})
        self._curves.move_to_end(event.subject)
        numbers = {str(key): value for key, value in metrics.items() if type(value) in (int, float)}
        curve[epoch] = dict(list((curve.get(epoch, {}) | numbers).items())[:MOST_METRICS])
        if len(curve) > MOST_POINTS:
            for passed in sorted(curve)[1:-1:2]:
                del curve[passed]
        if len(self._curves) > MOST_CURVES:
            self._curves.popitem(last=False)


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
