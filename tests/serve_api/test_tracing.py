"""Spans reach a real collector's address."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from PIL import Image as Pillow
from pindet_serve.api.tracing import Tracing, open_tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_it_is_off_where_no_endpoint_is_named_and_where_it_is_disabled():
    assert open_tracing({}) is None
    assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}) is None


def test_an_endpoint_without_the_extra_stops_the_start(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ValueError, match=r"pip install 'pindet-serve\[otel\]'"):
        open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


@pytest.fixture
def exported():
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider), exporter


def test_phases_lie_within_the_trace_that_came_and_one_after_the_other(exported):
    tracing, exporter = exported
    span = tracing.begin("POST", f"00-{TRACE}-{PARENT}-01")
    with tracing.within(span):
        tracing.phases({"decode": 0.2, "queue": 0.1, "inference": 0.3}, **{"pindet.batch": 2})
    tracing.end(span, "/v1/detect", 503, "abc")
    decode, queue, inference, request = exporter.get_finished_spans()
    assert (request.name, request.status.status_code.name) == ("POST /v1/detect", "ERROR")
    assert f"{request.context.trace_id:032x}" == TRACE and f"{request.parent.span_id:016x}" == PARENT
    assert tracing.parent(request).startswith(f"00-{TRACE}-")
    assert {one.parent.span_id for one in (decode, queue, inference)} == {request.context.span_id}
    assert decode.end_time == queue.start_time and queue.end_time == inference.start_time
    assert decode.end_time - decode.start_time == pytest.approx(0.2e9, rel=1e-6)
    assert inference.attributes == {"pindet.batch": 2}


@pytest.fixture
def collector():
    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body, self.headers.get("Content-Encoding")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    received = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_server_sends_its_spans_and_says_which_trace_it_is(start_server, project, collector, scene):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    endpoint, received = collector
    server = start_server(project, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SERVICE_NAME="line-3")
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    response = httpx.post(f"{server.url}/v1/detect", content=png(scene()), headers=headers)
    own = response.headers["traceparent"].split("-")[2]
    assert server.line_of("mine")["trace_id"] == TRACE
    server.process.terminate()
    server.process.wait(30)
    spans = []
    for path, body, _ in received:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            assert names["service.name"] == "line-3"
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    named = {span.name: span for span in spans}
    assert named.keys() == {"POST /v1/detect", "decode", "queue", "inference"}  # and none of the health checks
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert named["POST /v1/detect"].span_id.hex() == own
    assert named["POST /v1/detect"].parent_span_id.hex() == PARENT
    assert named["inference"].parent_span_id.hex() == own


