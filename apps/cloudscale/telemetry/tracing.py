"""Distributed traces: one trace for a sampled event, from its HTTP request over the message to the store.

The link between the services is the event's ``traceparent`` field (W3C Trace Context, section 3.2), which names the
span that published it. OpenTelemetry is an optional dependency and is imported only when an endpoint is configured;
otherwise :func:`start` answers None and callers skip everything with one comparison.

The head decides: an event is sampled by the share configured in the resource, or because its client's own
``traceparent`` says so, and everybody behind follows.
"""

from __future__ import annotations

import os
from random import random
from typing import TYPE_CHECKING, NamedTuple

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OpenSpan
    from opentelemetry.util.types import AttributeValue

    from cloudscale import pipeline

NANOSECONDS = 1_000_000_000
TRACEPARENT_CHARACTERS = 55
AZURE_MONITOR_VARIABLE = "APPLICATIONINSIGHTS_CONNECTION_STRING"


def is_sampled(traceparent: str | None) -> bool:
    """Whether a ``traceparent`` names a sampled span; cheap enough to ask for every event."""
    # Its last two characters are the flags, in hexadecimal, and the lowest bit says whether it is sampled.
    return traceparent is not None and len(traceparent) == TRACEPARENT_CHARACTERS and traceparent[-1] in "13579bdf"


class Span(NamedTuple):
    """From when to when something was done, in epoch seconds."""

    began_at: float
    ended_at: float


class RequestTrace:
    """The trace of one sampled HTTP request with one or more events."""

    def __init__(self, tracing: Tracing, request: OpenSpan, publication: OpenSpan) -> None:
        self._request = request
        self._publication = publication
        self.traceparent = tracing.traceparent_of(publication)
        """What each event of the request carries."""

    def published(self, *, events: int) -> None:
        """The broker has acknowledged the events."""
        self._publication.set_attribute("messaging.batch.message_count", events)
        self._publication.end()

    def end(self, *, status_code: int) -> None:
        """The request has been answered; what was not published until now never was."""
        if self._publication.is_recording():
            if status_code >= 400:
                self._publication.set_attribute("error.type", str(status_code))
            self._publication.end()
        self._request.set_attribute("http.response.status_code", status_code)
        if status_code >= 500:
            self._request.set_attribute("error.type", str(status_code))
        self._request.end()


class Tracing:
    """Makes and exports the spans of one process. Build it with :func:`start`, close it at the end."""

    def __init__(self, provider: TracerProvider, *, sample_ratio: float, queue: str, container: str) -> None:
        from opentelemetry.propagators.textmap import default_getter  # noqa: PLC0415
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = provider
        self._sample_ratio = sample_ratio
        self._tracer = provider.get_tracer("cloudscale")
        self._propagator = TraceContextTextMapPropagator()
        self._getter = default_getter
        self._kind = SpanKind
        self._queue = queue
        self._container = container

    def begin_request(self, route: str, traceparent: str | None) -> RequestTrace | None:
        """Begin the spans of a ``POST`` to ``route``, or answer None when it is not sampled.

        ``traceparent`` is the request's header as it came; an invalid one is ignored, as the recommendation demands.
        """
        # Asking the SDK would cost each request several microseconds to hear that it is not sampled.
        if traceparent is None:
            if random() >= self._sample_ratio:  # noqa: S311 - a sample, not a secret
                return None
        elif not is_sampled(traceparent):
            return None
        request = self._tracer.start_span(
            f"POST {route}",
            context=self._parent(traceparent),
            kind=self._kind.SERVER,
            attributes={"http.request.method": "POST", "http.route": route},
        )
        publication = self._tracer.start_span(
            f"send {self._queue}",
            context=_context_of(request),
            kind=self._kind.PRODUCER,
            attributes=self._messaging("send"),
        )
        return RequestTrace(self, request, publication)

    def record_processing(
        self,
        traceparent: str,
        *,
        event_id: str,
        event_type: str,
        outcome: str,
        processing: Span,
        writing: Span | None,
    ) -> None:
        """Record what a worker did with one sampled event, after the fact because workers handle events in bulk.

        ``writing`` is None when the event did not get as far as the store. ``outcome`` is ``persisted``, ``duplicate``
        or the reason of its dead letter.
        """
        span = self._tracer.start_span(
            f"process {self._queue}",
            context=self._parent(traceparent),
            kind=self._kind.CONSUMER,
            attributes={
                **self._messaging("process"),
                "cloudscale.event.id": event_id,
                "cloudscale.event.type": event_type,
                "cloudscale.outcome": outcome,
            },
            start_time=round(processing.began_at * NANOSECONDS),
        )
        if outcome not in {"persisted", "duplicate"}:
            span.set_attribute("error.type", outcome)
        if writing is not None:
            self._tracer.start_span(
                f"create_items {self._container}",
                context=_context_of(span),
                kind=self._kind.CLIENT,
                attributes={
                    "db.system.name": "azure.cosmosdb",
                    "db.operation.name": "create_items",
                    "db.collection.name": self._container,
                },
                start_time=round(writing.began_at * NANOSECONDS),
            ).end(end_time=round(writing.ended_at * NANOSECONDS))
        span.end(end_time=round(processing.ended_at * NANOSECONDS))

    def traceparent_of(self, span: OpenSpan) -> str:
        """The W3C text that names ``span`` as the parent."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=_context_of(span))
        return carrier["traceparent"]

    def close(self) -> None:
        """Export what is left. Blocks until it is sent or the exporter's timeout is over."""
        self._provider.shutdown()

    def _parent(self, traceparent: str | None) -> Context | None:
        return self._propagator.extract({"traceparent": traceparent}, getter=self._getter) if traceparent else None

    def _messaging(self, operation: str) -> dict[str, AttributeValue]:
        return {
            "messaging.system": "servicebus",
            "messaging.operation.type": operation,
            "messaging.destination.name": self._queue,
        }


def start(resource: pipeline.EventPipeline, service: str) -> Tracing | None:
    """Begin tracing as the resource specifies, or return None when it names no endpoint.

    ``service`` is ``ingestion`` or ``worker``. With ``APPLICATIONINSIGHTS_CONNECTION_STRING`` set the spans go to
    Azure Monitor instead of the OTLP endpoint.

    Raises:
        ConfigurationError: tracing is on and a package it needs is not installed, or the connection string is wrong.
    """
    configuration = resource.spec.telemetry.tracing
    azure_monitor = os.environ.get(AZURE_MONITOR_VARIABLE)
    if configuration.endpoint is None and not azure_monitor:
        return None
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"tracing is on (spec.telemetry.tracing) but {error.name} is missing: "
            "install cloudscale[tracing] or take the endpoint out"
        ) from None

    metadata = resource.metadata
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": f"cloudscale-{service}",
                "service.namespace": f"{metadata.namespace}/{metadata.name}",
                "service.instance.id": f"{os.uname().nodename}-{os.getpid()}",
            }
        ),
        sampler=ParentBased(ALWAYS_ON),
        shutdown_on_exit=False,
    )
    exporter = (
        _azure_monitor_exporter(azure_monitor, provider)
        if azure_monitor
        else _otlp_exporter(str(configuration.endpoint))
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return Tracing(
        provider,
        sample_ratio=configuration.sample_ratio,
        queue=resource.spec.queue.name,
        container=resource.spec.store.container,
    )


def _context_of(span: OpenSpan) -> Context:
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

    return set_span_in_context(span)


def _otlp_exporter(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    path = "" if endpoint.endswith("/v1/traces") else "/v1/traces"
    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + path, timeout=5)


def _azure_monitor_exporter(connection_string: str, provider: TracerProvider) -> SpanExporter:
    # The exporter would report on itself to its makers and fetch its settings from them.
    for switch in ("STATSBEAT_DISABLED_ALL", "CONTROLPLANE_DISABLED"):
        os.environ.setdefault(f"APPLICATIONINSIGHTS_{switch}", "true")
    try:
        from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            f"{AZURE_MONITOR_VARIABLE} is set but azure-monitor-opentelemetry-exporter is missing: "
            "install cloudscale[tracing] or unset the variable"
        ) from None
    try:
        # Pods have no disk to keep spans on while Azure Monitor is away.
        return AzureMonitorTraceExporter(
            connection_string=connection_string, tracer_provider=provider, disable_offline_storage=True
        )
    except ValueError as error:
        raise ConfigurationError(f"{AZURE_MONITOR_VARIABLE} cannot be used: {error}") from None
