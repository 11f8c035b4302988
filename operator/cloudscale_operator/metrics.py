"""What the operator measures about itself and about the queues of its pipelines."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

RECONCILE_DURATION = Histogram(
    "cloudscale_operator_reconcile_duration_seconds",
    "Time of one reconcile, of which most do nothing.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
RECONCILE_ERRORS = Counter(
    "cloudscale_operator_reconcile_errors_total",
    "Reconciles that failed, by what is done about it.",
    ["error"],
    registry=REGISTRY,
)
API_REQUESTS = Counter(
    "cloudscale_operator_api_requests_total", "Requests to the API server.", ["method"], registry=REGISTRY
)
PIPELINES = Gauge("cloudscale_operator_pipelines", "Pipelines that the operator knows.", registry=REGISTRY)
QUEUE_DEPTH = Gauge(
    "cloudscale_queue_depth",
    "Events that wait in the queue or are being processed.",
    ["namespace", "pipeline"],
    registry=REGISTRY,
)
QUEUE_MESSAGES = Gauge(
    "cloudscale_queue_messages",
    "Active messages in the queue, each with one event or more.",
    ["namespace", "pipeline"],
    registry=REGISTRY,
)
QUEUE_OLDEST = Gauge(
    "cloudscale_queue_oldest_seconds",
    "How long ago the oldest event in the queue was accepted; 0 when none waits.",
    ["namespace", "pipeline"],
    registry=REGISTRY,
)
DEAD_LETTERS = Gauge(
    "cloudscale_dead_letter_depth", "Messages in the dead-letter queue.", ["namespace", "pipeline"], registry=REGISTRY
)

READY = Gauge(
    "cloudscale_pipeline_ready",
    "1 while the pipeline's condition Ready is True, 0 otherwise.",
    ["namespace", "pipeline"],
    registry=REGISTRY,
)


# A series that is absent cannot rise: alerts and rates would miss the first of its events.
for _error in ("temporary", "permanent", "unexpected"):
    RECONCILE_ERRORS.labels(_error)
for _method in ("GET", "POST", "PATCH", "DELETE"):
    API_REQUESTS.labels(_method)


def forget(namespace: str, pipeline: str) -> None:
    """Stop reporting a pipeline that is gone."""
    for gauge in (QUEUE_DEPTH, QUEUE_MESSAGES, QUEUE_OLDEST, DEAD_LETTERS, READY):
        try:
            gauge.remove(namespace, pipeline)
        except KeyError:
            continue
