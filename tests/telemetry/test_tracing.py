from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.servers.pipeline import RunningPipeline, running_pipeline
from tests.waiting import wait_until_sync

from cloudscale import pipeline
from cloudscale.errors import ConfigurationError
from cloudscale.telemetry import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


GZIP = b"\x1f\x8b"


class Receiver:
    """An HTTP server that hands the bodies of what is posted to ``take`` and answers what that answers."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.take(gzip.decompress(body) if body.startswith(GZIP) else body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server calls
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, body: bytes) -> bytes:
        raise NotImplementedError


class Collector(Receiver):
    """An OTLP collector over HTTP: keeps the spans that it is sent, with the service they came from."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        super().__init__()

    def take(self, body: bytes) -> bytes:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(attributes["service.name"], span) for span in scope.spans]
        return b""

    def trace(self, trace_id: str) -> dict[str, Span]:
        """The spans of one trace by service and name."""
        return {f"{service}: {span.name}": span for service, span in self.spans if span.trace_id.hex() == trace_id}


class ApplicationInsights(Receiver):
    """Where Azure Monitor takes telemetry in: keeps the operation and the role of each item."""

    def __init__(self) -> None:
        self.items: list[tuple[str, str]] = []
        super().__init__()

    @property
    def connection_string(self) -> str:
        """What a client is configured with."""
        return f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint={self.url}/"

    def take(self, body: bytes) -> bytes:
        items = msgspec.json.decode(body)
        self.items += [(item["tags"].get("ai.operation.id", ""), item["tags"]["ai.cloud.role"]) for item in items]
        return msgspec.json.encode({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []})


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    spec = {"telemetry": {"tracing": {"endpoint": collector.url, "sampleRatio": 0}}, "dashboard": {"enabled": True}}
    with running_pipeline(tmp_path_factory.mktemp("traced"), spec=spec) as running:
        yield running


EXPORT_TIMEOUT = timedelta(seconds=30)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
MINIMAL = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "x"}}
EVENT = {"eventType": "page_view", "tenantId": "contoso", "url": "https://contoso.example/"}


def post(running: RunningPipeline, content: object, *, traceparent: str, path: str = "/api/events") -> None:
    headers = {"traceparent": traceparent, "Content-Type": "application/json"}
    request = Request(running.url + path, data=msgspec.json.encode(content), headers=headers)  # noqa: S310 - our own
    with urlopen(request, timeout=30) as response:  # noqa: S310 - our own
        assert response.status == 202


def test_a_sampled_event_is_one_trace_from_the_request_to_the_store(
    traced: RunningPipeline, collector: Collector
) -> None:
    post(traced, EVENT, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")

    wait_until_sync(lambda: len(collector.trace(TRACE_ID)) == 4, within=EXPORT_TIMEOUT)

    spans = collector.trace(TRACE_ID)
    request = spans["cloudscale-ingestion: POST /api/events"]
    publication = spans["cloudscale-ingestion: send events-ingestion"]
    processing = spans["cloudscale-worker: process events-ingestion"]
    writing = spans["cloudscale-worker: create_items Events"]
    assert request.parent_span_id.hex() == PARENT_ID
    assert publication.parent_span_id == request.span_id
    assert processing.parent_span_id == publication.span_id
    assert writing.parent_span_id == processing.span_id
    assert request.start_time_unix_nano <= publication.start_time_unix_nano <= processing.start_time_unix_nano
    assert processing.start_time_unix_nano <= writing.start_time_unix_nano
    assert writing.end_time_unix_nano <= processing.end_time_unix_nano


def test_each_event_of_a_sampled_batch_has_its_own_span_in_the_batch_s_trace(
    traced: RunningPipeline, collector: Collector
) -> None:
    trace_id = "a" * 32
    batch = [{**EVENT, "eventId": f"traced-{number}"} for number in range(3)]
    post(traced, batch, traceparent=f"00-{trace_id}-{PARENT_ID}-01", path="/api/events/batch")

    def processed() -> set[str]:
        mine = [span for _, span in collector.spans if span.trace_id.hex() == trace_id]
        return {
            each.value.string_value
            for span in mine
            if span.name == "process events-ingestion"
            for each in span.attributes
            if each.key == "cloudscale.event.id"
        }

    wait_until_sync(lambda: processed() == {"traced-0", "traced-1", "traced-2"}, within=EXPORT_TIMEOUT)


def test_a_copy_is_not_traced_as_published(traced: RunningPipeline, collector: Collector) -> None:
    first, second = "d" * 32, "e" * 32
    event = {**EVENT, "eventId": "sent-twice"}
    post(traced, event, traceparent=f"00-{first}-{PARENT_ID}-01")
    with pytest.raises(HTTPError, match="409"):
        post(traced, event, traceparent=f"00-{second}-{PARENT_ID}-01")

    wait_until_sync(lambda: len(collector.trace(second)) == 2, within=EXPORT_TIMEOUT)

    published, refused = (
        {each.key for each in collector.trace(trace_id)["cloudscale-ingestion: send events-ingestion"].attributes}
        for trace_id in (first, second)
    )
    assert "messaging.batch.message_count" in published
    assert "messaging.batch.message_count" not in refused
    assert "error.type" in refused


def test_an_event_that_is_not_sampled_leaves_no_span(traced: RunningPipeline, collector: Collector) -> None:
    unsampled, sampled = "b" * 32, "c" * 32
    post(traced, EVENT, traceparent=f"00-{unsampled}-{PARENT_ID}-00")
    post(traced, EVENT, traceparent=f"00-{sampled}-{PARENT_ID}-01")

    wait_until_sync(lambda: len(collector.trace(sampled)) == 4, within=EXPORT_TIMEOUT)

    assert not collector.trace(unsampled)


def test_spans_go_to_azure_monitor_where_a_connection_string_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = ApplicationInsights()
    monkeypatch.setenv(tracing.AZURE_MONITOR_VARIABLE, monitor.connection_string)
    try:
        with running_pipeline(tmp_path) as running:
            post(running, EVENT, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")

            def roles() -> set[str]:
                return {role for operation, role in monitor.items if operation == TRACE_ID}

            wait_until_sync(lambda: len(roles()) == 2, within=EXPORT_TIMEOUT)
            assert roles() == {"default/shops.cloudscale-ingestion", "default/shops.cloudscale-worker"}
    finally:
        monitor.close()


def test_a_connection_string_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.AZURE_MONITOR_VARIABLE, "nonsense")
    with pytest.raises(ConfigurationError, match=tracing.AZURE_MONITOR_VARIABLE):
        tracing.start(pipeline.load(MINIMAL), "worker")


def test_without_an_endpoint_nothing_is_traced_and_no_sdk_is_loaded() -> None:
    program = """
import sys
from cloudscale import pipeline
from cloudscale.telemetry import tracing
from cloudscale.errors import ConfigurationError
resource = pipeline.load({"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "x"}})
assert tracing.start(resource, "worker") is None
assert "opentelemetry.sdk.trace" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (f"00-{TRACE_ID}-{PARENT_ID}-01", True),
        (f"00-{TRACE_ID}-{PARENT_ID}-03", True),
        (f"00-{TRACE_ID}-{PARENT_ID}-00", False),
        ("", False),
        ("not a traceparent", False),
        (None, False),
    ],
)
def test_the_flags_say_whether_a_span_is_sampled(traceparent: str | None, sampled: bool) -> None:
    assert tracing.is_sampled(traceparent) is sampled


def test_about_the_configured_share_of_requests_is_sampled(tmp_path: Path) -> None:
    tracing_spec = {"endpoint": "http://127.0.0.1:1", "sampleRatio": 0.25}
    resource = pipeline.load({**MINIMAL, "spec": {"telemetry": {"tracing": tracing_spec}}})
    started = tracing.start(resource, "ingestion")
    assert started is not None
    sampled = sum(started.begin_request("/api/events", None) is not None for _ in range(2000))

    assert 380 < sampled < 620
    started.close()
