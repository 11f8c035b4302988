"""The service levels of a pipeline: the one definition from which rules, Grafana panels and the dashboard derive.

A level is a ratio of counts: what was bad, out of what there was. Each count is defined once, in PromQL for Prometheus
and over an :class:`~cloudscale.telemetry.activity.Activity` for the dashboard, so both mean the same by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.telemetry.activity import Activity
    from cloudscale.telemetry.distribution import Distribution

INGESTION_SECONDS = 0.2
"""Longest time in which an event should be answered; a bound of the histogram's buckets."""
PROCESSING_SECONDS = 2.0
"""Longest time from an event's acceptance to its write; a bound of the histogram's buckets."""


class Tally(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The counts of all service levels over one span."""

    at: float
    """Epoch seconds of the span's end."""
    requests: float = 0.0
    failed_requests: float = 0.0
    ingested: float = 0.0
    ingested_in_time: float = 0.0
    processed: float = 0.0
    processed_in_time: float = 0.0
    dead_lettered: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Count:
    """One count, a field of :class:`Tally`: its Prometheus counter with labels, and where an activity holds it."""

    field: str
    counter: str
    read: Callable[[Activity], float]


def failures(activity: Activity) -> float:
    """Requests that failed by the server's own fault. A 503 that sheds load is one, since the client had to wait."""
    return sum(count for code, count in activity.responses.items() if code.startswith("5"))


def _within(distribution: Distribution, seconds: float) -> float:
    return (distribution.share_within(seconds) or 0.0) * distribution.count


REQUESTS = Count(
    field="requests",
    counter="cloudscale_responses_total",
    read=lambda activity: sum(activity.responses.values()),
)
FAILED_REQUESTS = Count(
    field="failed_requests",
    counter='cloudscale_responses_total{code=~"5.."}',
    read=failures,
)
INGESTED = Count(
    field="ingested",
    counter="cloudscale_ingestion_duration_seconds_count",
    read=lambda activity: activity.ingestion_seconds.count,
)
INGESTED_IN_TIME = Count(
    field="ingested_in_time",
    counter=f'cloudscale_ingestion_duration_seconds_bucket{{le="{INGESTION_SECONDS}"}}',
    read=lambda activity: _within(activity.ingestion_seconds, INGESTION_SECONDS),
)
PROCESSED = Count(
    field="processed",
    counter="cloudscale_processing_lag_seconds_count",
    read=lambda activity: activity.lag_seconds.count,
)
PROCESSED_IN_TIME = Count(
    field="processed_in_time",
    counter=f'cloudscale_processing_lag_seconds_bucket{{le="{PROCESSING_SECONDS}"}}',
    read=lambda activity: _within(activity.lag_seconds, PROCESSING_SECONDS),
)
DEAD_LETTERED = Count(
    field="dead_lettered",
    counter="cloudscale_dead_letters_total",
    read=lambda activity: sum(activity.dead_letters.values()),
)
COUNTS = (REQUESTS, FAILED_REQUESTS, INGESTED, INGESTED_IN_TIME, PROCESSED, PROCESSED_IN_TIME, DEAD_LETTERED)


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """An objective: at least the share ``target`` (0 to 1) of ``total`` is good.

    ``good`` is counted, or else ``bad`` is; the other one is what remains of the total.
    """

    name: str
    """In the names of series and alerts, and in the dashboard's API."""
    title: str
    objective: str
    """The objective in words, with its target."""
    target: float
    summary: str
    """What an alert says."""
    total: tuple[Count, ...]
    """Counts that are added up."""
    bad: Count | None = None
    good: Count | None = None
    limit_seconds: float | None = None
    """For a level of speed: what is slower is bad."""

    def total_of(self, tally: Tally) -> float:
        """How much there was."""
        return sum(_value(count, tally) for count in self.total)

    def bad_of(self, tally: Tally) -> float:
        """How much of it was bad."""
        if self.bad is not None:
            return _value(self.bad, tally)
        return self.total_of(tally) - (_value(self.good, tally) if self.good is not None else 0.0)


def _value(count: Count, tally: Tally) -> float:
    value: float = getattr(tally, count.field)
    return value


SERVICE_LEVELS = (
    ServiceLevel(
        name="availability",
        title="Availability",
        objective="99.9 % of requests not answered 5xx",
        target=0.999,
        summary="Too many requests are answered 5xx",
        total=(REQUESTS,),
        bad=FAILED_REQUESTS,
    ),
    ServiceLevel(
        name="ingestion_speed",
        title="Ingestion speed",
        objective=f"99 % of events answered within {INGESTION_SECONDS * 1000:g} ms",
        target=0.99,
        summary=f"Too many events are accepted slower than {INGESTION_SECONDS * 1000:g} ms",
        total=(INGESTED,),
        good=INGESTED_IN_TIME,
        limit_seconds=INGESTION_SECONDS,
    ),
    ServiceLevel(
        name="processing_speed",
        title="Processing speed",
        objective=f"99 % of events stored within {PROCESSING_SECONDS:g} s",
        target=0.99,
        summary=f"Too many events are stored later than {PROCESSING_SECONDS:g} s after they were accepted",
        total=(PROCESSED,),
        good=PROCESSED_IN_TIME,
        limit_seconds=PROCESSING_SECONDS,
    ),
    # Of the events that ended, not of those that were accepted in the same time: a backlog that is dead-lettered after
    # intake has stopped would have no ratio, or one above 1.
    ServiceLevel(
        name="errors",
        title="Errors",
        objective="Less than 0.1 % of events dead-lettered",
        target=0.999,
        summary="Too many events end as dead letters",
        total=(PROCESSED, DEAD_LETTERED),
        bad=DEAD_LETTERED,
    ),
)


def tally_of(activity: Activity, *, at: float) -> Tally:
    """What an activity that ended ``at`` (epoch seconds) adds to the service levels."""
    return Tally(at=round(at, 3), **{count.field: count.read(activity) for count in COUNTS})
