"""Spans of requests and of their phases, sent with OpenTelemetry where that is configured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Makes spans; needs the ``otel`` extra.

    Args:
        provider: of OpenTelemetry's SDK; it says where the spans go.
    """

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace, self._provider = trace, provider
        self._tracer = provider.get_tracer("pindet_serve")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, traceparent: str) -> Any:
        """The span of a request, within the trace that the request came with, if any."""
        context = self._propagator.extract({"traceparent": traceparent} if traceparent else {})
        attributes = {"http.request.method": method}
        return self._tracer.start_span(method, context, self._trace.SpanKind.SERVER, attributes)

    def within(self, span: Any) -> AbstractContextManager[Any]:
        """Make a span that of the code in the block; it ends later."""
        block: AbstractContextManager[Any] = self._trace.use_span(span, end_on_exit=False, record_exception=False)
        return block

    def parent(self, span: Any) -> str:
        """The ``traceparent`` of a span (W3C Trace Context)."""
        context = span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, span: Any, route: str, status: int, model_md5: str) -> None:
        """Complete the span of a request."""
        span.update_name(f"{span.attributes['http.request.method']} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status, "pindet.model.md5": model_md5})
        if status >= 500 or status == 0:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def phases(self, seconds: Mapping[str, float], **attributes: int) -> None:
        """Add spans below the present one for phases that ended now, one after the other, in seconds."""
        start = time.time_ns() - round(1e9 * sum(seconds.values()))
        for name, length in seconds.items():
            end = start + round(1e9 * length)
            self._tracer.start_span(name, attributes=attributes, start_time=start).end(end)
            start = end

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_tracing(environment: Mapping[str, str]) -> Tracing | None:
    """Tracing to where OpenTelemetry's own variables say, over HTTP; ``None`` where they say nothing.

    Raises:
        ValueError: they name an endpoint, and the ``otel`` extra is not installed.
    """
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    named = [name for name in ENDPOINTS if environment.get(name)]
    if off or not named:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{named[0]} is set and OpenTelemetry is not installed; pip install 'pindet-serve[otel]'"
        ) from error
    name = {"service.name": environment.get("OTEL_SERVICE_NAME") or "pindet-serve"}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
