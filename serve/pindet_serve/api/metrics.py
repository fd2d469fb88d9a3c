"""Figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pindet_serve.detections import Detections
from pindet_serve.serving.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Describe = Callable[[], dict[str, Any]]
M = TypeVar("M", Counter, Histogram)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SCORES = tuple(step / 10 for step in range(1, 11))


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "pindet_requests", "HTTP requests answered", ["method", "route", "status"], registry=self._registry
        )
        self.latency = Histogram(
            "pindet_request_seconds", "Time of a request", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self.phases = Histogram(
            "pindet_phase_seconds",
            "Time of an image by phase: decode, queue, inference, encode",
            ["phase"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "pindet_batch_images", "Images in an inference", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self._registry
        )
        self.refusals = Counter(
            "pindet_images_refused", "Images without detections, by HTTP status", ["status"], registry=self._registry
        )
        self.detections = Counter("pindet_detections", "Objects found", ["label"], registry=self._registry)
        self.scores = Histogram("pindet_scores", "Scores of objects found", buckets=_SCORES, registry=self._registry)
        # To look a child up by its labels takes longer than to use it.
        self._by_request: dict[tuple[str, ...], Counter] = {}
        self._by_route: dict[tuple[str, ...], Histogram] = {}
        self._by_phase: dict[tuple[str, ...], Histogram] = {}
        self._by_label: dict[tuple[str, ...], Counter] = {}

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and take its time."""
        _child(self._by_request, self.requests, method, route, str(status)).inc()
        _child(self._by_route, self.latency, route).observe(seconds)

    def observe_phase(self, phase: str, seconds: float) -> None:
        """Take the time of an image or an answer in one phase."""
        _child(self._by_phase, self.phases, phase).observe(seconds)

    def observe_batch(self, images: int, _: float) -> None:
        """Count one inference."""
        self.batches.observe(images)

    def observe_answer(self, classes: list[str], found: Detections) -> None:
        """Count the objects of one answer."""
        for score, label in zip(found.scores.tolist(), found.labels.tolist(), strict=True):
            _child(self._by_label, self.detections, classes[label]).inc()
            self.scores.observe(score)

    def watch(self, service: Service, bus: Describe, history: Describe) -> None:
        """Read the state of the server whenever the figures are asked for."""
        self._registry.register(_State(service, {"bus": bus, "history": history}))

    def text(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self._registry)


def _child(known: dict[tuple[str, ...], M], metric: M, *labels: str) -> M:
    return known.get(labels) or known.setdefault(labels, metric.labels(*labels))


class _State(Collector):
    def __init__(self, service: Service, watched: dict[str, Describe]) -> None:
        self._service, self._watched = service, watched

    def collect(self) -> Iterator[Metric]:
        service = self._service
        yield GaugeMetricFamily("pindet_queue_images", "Images admitted, not answered", service.batcher.admitted)
        yield GaugeMetricFamily("pindet_queue_capacity", "Images admitted at most", service.batcher.capacity)
        yield GaugeMetricFamily("pindet_release_refused", "1 while the last load was refused", bool(service.refused))
        for name, describe in self._watched.items():
            seen = describe()
            yield GaugeMetricFamily(f"pindet_{name}_up", f"1 while the {name} works", seen["state"] == "up")
            yield CounterMetricFamily(f"pindet_{name}_dropped", f"What the {name} lost", seen["dropped"])
        labels = service.model.release.named
        info = GaugeMetricFamily("pindet_model_info", "The model that answers", labels=[*labels, "engine", "device"])
        info.add_metric([*labels.values(), service.model.engine, service.model.device], 1)
        yield info
        if (drift := service.model.drift) is not None:
            yield GaugeMetricFamily("pindet_drift_images", "Images that the drift is of", drift.images)
            text = "Jensen-Shannon distance from the test data, 0 to 1"
            distances = GaugeMetricFamily("pindet_drift", text, labels=["quantity", "label"])
            for quantity, label, distance in drift.distances():
                distances.add_metric([quantity, label], distance)
            yield distances
