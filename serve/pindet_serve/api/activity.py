"""What this replica did lately: for its heartbeat, and as sampled summaries on the status bus."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from pindet_serve.api.detecting import Found
from pindet_serve.serving.service import Publish, Service

WINDOW_S = 10.0
SUMMARY_EVERY_S = 0.5


class Activity:
    """Remembers the requests and inferences of the last ten seconds.

    Args:
        service: whose queue and model the heartbeat tells.
        publish: told of at most two ``detection`` summaries a second.
    """

    def __init__(self, service: Service, publish: Publish) -> None:
        self._service, self._publish = service, publish
        self._requests: deque[tuple[float, float]] = deque(maxlen=10_000)
        self._inferred: deque[tuple[float, int]] = deque(maxlen=10_000)
        self._next_summary = 0.0

    def note(self, started: float, results: Sequence[object]) -> None:
        """Take a request into account that began at ``started``, a time of ``time.monotonic``."""
        now = time.monotonic()
        found = [result for result in results if isinstance(result, Found)]
        self._requests.append((now, now - started))
        if found and now >= self._next_summary:
            self._next_summary = now + SUMMARY_EVERY_S
            classes = self._service.model.manifest.classes
            names = [classes[label] for result in found for label in result.detections.labels.tolist()[:50]]
            counts = {name: names.count(name) for name in sorted(set(names))}
            milliseconds = round(1000 * (now - started), 1)
            self._publish("detection", {"images": len(found), "objects": counts, "ms": milliseconds})

    def inferred(self, images: int) -> None:
        """Take an inference into account, of whatever: a request, a frame of a stream, or a job."""
        self._inferred.append((time.monotonic(), images))

    def facts(self) -> dict[str, Any]:
        """Throughput (images a second), p50 and p95 of a request (ms), queue (images) and model."""
        since = time.monotonic() - WINDOW_S
        for lately in (self._requests, self._inferred):
            while lately and lately[0][0] < since:
                lately.popleft()
        times = sorted(seconds for _, seconds in self._requests)
        return {
            "throughput": round(sum(images for _, images in tuple(self._inferred)) / WINDOW_S, 2),
            "p50_ms": _quantile_ms(times, 0.5),
            "p95_ms": _quantile_ms(times, 0.95),
            "queue": self._service.batcher.admitted,
            "model": self._service.model.release.named,
        }


def _quantile_ms(times: list[float], quantile: float) -> float | None:
    return round(1000 * times[min(int(len(times) * quantile), len(times) - 1)], 2) if times else None
