"""What every service measures, as Prometheus metrics, correct over several processes of one service.

With ``PROMETHEUS_MULTIPROC_DIR`` set before the start, each process writes to files of its own in that directory and
:func:`render` adds them up, so that it does not matter which process answers the scrape. Hot paths call the ``count_…``
and ``observe_…`` functions once a group or batch: an update of a multi-process metric costs microseconds, so it must
not be paid for each event.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter as Tally
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as generate
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTENT_TYPE = CONTENT_TYPE_LATEST
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

TENANT_LABELS = 50
"""Tenants that get a label value of their own in each process; the others share ``other``."""

INGESTION_BUCKETS_SECONDS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175),
    *(0.2, 0.225, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0),
)
LAG_BUCKETS_SECONDS = (
    *(0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0),
    # A backlog may take hours to drain.
    *(5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0),
)
STORE_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
GROUP_BUCKETS_EVENTS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 200, 500, 1000)


class GroupedHistogram(Histogram):
    """A histogram that takes a whole group of observations for little more than the price of one."""

    def observe_many(self, amounts: Iterable[float]) -> None:
        """Observe each of ``amounts``: one addition a bucket that was hit, not one an observation."""
        hits: Tally[int] = Tally()
        total = 0.0
        for amount in amounts:
            hits[bisect_left(self._upper_bounds, amount)] += 1
            total += amount
        for bucket, count in hits.items():
            self._buckets[bucket].inc(count)
        self._sum.inc(total)


class BoundedLabel:
    """Keeps a label's cardinality within bounds: the first ``limit`` values stay, later ones become ``other``.

    Each series costs memory here and in Prometheus, and tenants come from outside.
    """

    OTHER = "other"

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The label value to use for ``value``."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return self.OTHER
        self._known.add(value)
        return value


tenant_label = BoundedLabel(TENANT_LABELS)

EVENTS_INGESTED = Counter(
    "cloudscale_events_ingested_total",
    "Events acknowledged by the broker and answered 202.",
    ["event_type", "tenant_id"],
)
INGESTION_DURATION = GroupedHistogram(
    "cloudscale_ingestion_duration_seconds",
    "From the request's arrival to its answer, for accepted events.",
    ["event_type"],
    buckets=INGESTION_BUCKETS_SECONDS,
)
RESPONSES = Counter("cloudscale_responses_total", "Answers of the event routes by HTTP status code.", ["code"])
_RESPONSES_SINCE: Tally[int] = Tally()
EVENTS_PERSISTED = Counter(
    "cloudscale_events_persisted_total", "Events written to the store for the first time.", ["event_type", "tenant_id"]
)
DUPLICATES = Counter("cloudscale_duplicates_total", "Copies of events, by where they were recognised.", ["stage"])
DEAD_LETTERS = Counter("cloudscale_dead_letters_total", "Events moved to the dead-letter queue.", ["reason"])
FRAUD_DETECTED = Counter("cloudscale_fraud_detected_total", "Events flagged as suspicious.", ["event_type"])
RATE_LIMIT_REJECTIONS = Counter("cloudscale_rate_limit_rejections_total", "Requests answered 429, by limit.", ["limit"])
REJECTIONS = Counter("cloudscale_rejections_total", "Requests and events refused for another reason.", ["reason"])
REFUSALS_WITHOUT_PLACE = Counter(
    "cloudscale_refusals_without_place_total",
    "Refusals that the dashboard shows by status and reason alone, because there were too many kinds of them.",
)
RETRIES = Counter("cloudscale_retries_total", "Calls to a backend that were tried again.", ["backend"])
GROUP_SIZE = GroupedHistogram(
    "cloudscale_group_size", "Events in one group commit of ingestion.", buckets=GROUP_BUCKETS_EVENTS
)
STORE_DURATION = GroupedHistogram(
    "cloudscale_store_duration_seconds", "Duration of calls to the store.", ["operation"], buckets=STORE_BUCKETS_SECONDS
)
STORE_REQUEST_UNITS = Counter("cloudscale_store_request_units_total", "Request units that the store charged.")
PROCESSING_LAG = GroupedHistogram(
    "cloudscale_processing_lag_seconds",
    "From an event's acceptance (receivedAt) to its write (processedAt).",
    buckets=LAG_BUCKETS_SECONDS,
)

# The gauge of an ended process is meaningless, so all modes are "live"; see _forget_the_dead.
QUEUE_DEPTH = Gauge(
    "cloudscale_queue_depth",
    "Events that wait in the queue or are being processed, at the last reading.",
    multiprocess_mode="livemostrecent",
)
QUEUE_MESSAGES = Gauge(
    "cloudscale_queue_messages",
    "Active messages in the queue at the last reading, each with one event or more.",
    multiprocess_mode="livemostrecent",
)
QUEUE_OLDEST = Gauge(
    "cloudscale_queue_oldest_seconds",
    "How long ago the oldest event in the queue was accepted, at the last reading; 0 when none waits.",
    multiprocess_mode="livemostrecent",
)
DEAD_LETTER_DEPTH = Gauge(
    "cloudscale_dead_letter_depth",
    "Messages in the dead-letter queue at the last reading.",
    multiprocess_mode="livemostrecent",
)
CONCURRENCY_LIMIT = Gauge(
    "cloudscale_concurrency_limit",
    "Calls to the store that one worker has in flight at once, at the most.",
    multiprocess_mode="livemostrecent",
)
CIRCUIT_BREAKER_STATE = Gauge(
    "cloudscale_circuit_breaker_state", "0 closed, 1 half-open, 2 open.", ["backend"], multiprocess_mode="livemax"
)
CACHE_AVAILABLE = Gauge(
    "cloudscale_cache_available", "1 while Redis answers, 0 while it is away.", multiprocess_mode="livemin"
)
# Nothing has failed yet: 0 from the first scrape on would be a false alarm.
CACHE_AVAILABLE.set(1)

FOLLOWER_LAG = Gauge(
    "cloudscale_follower_lag_seconds",
    "How long ago a follower of the store had kept or sent all that was stored then: archive, or outlet- and its name.",
    ["follower"],
    multiprocess_mode="livemax",
)
OUTLET_DELIVERED = Counter("cloudscale_outlet_delivered_total", "Events that an outlet's receiver took.", ["outlet"])
OUTLET_FAILURES = Counter(
    "cloudscale_outlet_failures_total", "Requests of an outlet that its receiver did not take.", ["outlet"]
)
OUTLET_PARKED = Gauge(
    "cloudscale_outlet_parked",
    "Events that an outlet has put aside, at the last reading.",
    ["outlet"],
    multiprocess_mode="livemostrecent",
)

BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}


def count_ingested(counts: Mapping[tuple[str, str], int]) -> None:
    """Count accepted events, given as ``{(event type, tenant id): events}``."""
    for (event_type, tenant_id), count in counts.items():
        EVENTS_INGESTED.labels(event_type, tenant_label(tenant_id)).inc(count)


def count_persisted(counts: Mapping[tuple[str, str], int]) -> None:
    """Count events written for the first time, given as ``{(event type, tenant id): events}``."""
    for (event_type, tenant_id), count in counts.items():
        EVENTS_PERSISTED.labels(event_type, tenant_label(tenant_id)).inc(count)


def count_response(status: int) -> None:
    """Count an answer of the event routes, for :func:`publish_responses` to show: this is called for each request."""
    _RESPONSES_SINCE[status] += 1


def publish_responses() -> None:
    """Show the answers counted so far to the scrapes of all processes."""
    for status in list(_RESPONSES_SINCE):
        RESPONSES.labels(str(status)).inc(_RESPONSES_SINCE.pop(status))


def count_of_responses() -> float:
    """How many requests of the event routes this process has answered so far; it publishes them."""
    publish_responses()
    samples = [sample for family in RESPONSES.collect() for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def observe_ingestion(event_type: str, seconds: Iterable[float]) -> None:
    """Observe how long accepted events of one type took from arrival to answer."""
    INGESTION_DURATION.labels(event_type).observe_many(seconds)


def set_breaker_state(backend: str, state: str) -> None:
    """Show a circuit breaker's state: ``closed``, ``half-open`` or ``open``."""
    CIRCUIT_BREAKER_STATE.labels(backend).set(BREAKER_STATES[state])


def render() -> bytes:
    """The metrics of all processes of this service in the text format that ``/metrics`` serves.

    The content type to serve them with is ``CONTENT_TYPE``.
    """
    publish_responses()
    directory = os.environ.get(MULTIPROCESS_VARIABLE)
    if not directory:
        return generate(REGISTRY)
    _forget_the_dead(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call]
    return generate(registry)


def _forget_the_dead(directory: Path) -> None:
    """Drop the gauges of processes that are gone, so that a crashed worker's last breaker state does not stay.

    The client library leaves this to a hook of the process manager; the scrape is where it matters.
    """
    for file in directory.glob("gauge_live*_*.db"):
        process_id = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            mark_process_dead(process_id, path=str(directory))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue
