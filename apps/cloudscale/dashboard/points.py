"""One point of the dashboard's time series, and series of them as the browser plots them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudscale.telemetry.figures import Counts
from cloudscale.telemetry.service_levels import failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.telemetry.activity import Activity


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What the dashboard reads itself, beside the figures of the processes; None while it cannot be read."""

    queue_depth: int | None = None
    """Events that wait or are being processed."""
    queue_messages: int | None = None
    oldest_seconds: float | None = None
    dead_letter_depth: int | None = None
    scheduled: int | None = None
    in_flight: int | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The pipeline at one moment. Rates are events a second, times are milliseconds, shares are 0 to 1."""

    at: float
    """Epoch seconds."""
    accepted: float = 0.0
    persisted: float = 0.0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    lag_p50: float | None = None
    lag_p99: float | None = None
    store_p99: float | None = None
    error_share: float | None = None
    """Requests answered 5xx."""
    duplicates: float = 0.0
    rejections: float = 0.0
    rate_limited: float = 0.0
    dead_lettered: float = 0.0
    suspicious: float = 0.0
    retries: float = 0.0
    request_units: float = 0.0
    group_events: float | None = None
    queue_depth: int | None = None
    """Events that wait or are being processed."""
    queue_messages: int | None = None
    oldest_seconds: float | None = None
    dead_letter_depth: int | None = None
    scheduled: int | None = None
    in_flight: int | None = None
    workers: int = 0
    ingestion: int = 0
    started: int = 0
    """Processes that started."""
    concurrency: int | None = None
    cache_available: bool = True
    breakers: Counts = {}
    by_type: Counts = {}
    by_tenant: Counts = {}


def point_of(activity: Activity, gauges: Gauges, *, at: float) -> Point:
    """The point that an activity and the gauges at its end make."""
    seconds = activity.seconds or 1.0
    requests = sum(activity.responses.values())
    return Point(
        at=round(at, 3),
        accepted=_rate(activity.accepted, seconds),
        persisted=_rate(activity.persisted, seconds),
        p50=_milliseconds(activity.ingestion_seconds.quantile(0.5)),
        p95=_milliseconds(activity.ingestion_seconds.quantile(0.95)),
        p99=_milliseconds(activity.ingestion_seconds.quantile(0.99)),
        lag_p50=_milliseconds(activity.lag_seconds.quantile(0.5)),
        lag_p99=_milliseconds(activity.lag_seconds.quantile(0.99)),
        store_p99=_milliseconds(activity.store_seconds.quantile(0.99)),
        error_share=round(failures(activity) / requests, 5) if requests else None,
        duplicates=_rate(sum(activity.duplicates.values()), seconds),
        rejections=_rate(sum(activity.rejections.values()), seconds),
        rate_limited=_rate(sum(activity.rate_limited.values()), seconds),
        dead_lettered=_rate(sum(activity.dead_letters.values()), seconds),
        suspicious=_rate(sum(activity.suspicious.values()), seconds),
        retries=_rate(sum(activity.retries.values()), seconds),
        request_units=_rate(activity.request_units, seconds),
        group_events=None if activity.group_events.mean is None else round(activity.group_events.mean, 1),
        queue_depth=gauges.queue_depth,
        queue_messages=gauges.queue_messages,
        oldest_seconds=gauges.oldest_seconds,
        dead_letter_depth=gauges.dead_letter_depth,
        scheduled=gauges.scheduled,
        in_flight=gauges.in_flight,
        workers=activity.worker_processes,
        ingestion=activity.ingestion_processes,
        started=activity.started,
        concurrency=activity.concurrency_limit,
        cache_available=activity.cache_available,
        breakers=activity.breakers,
        by_type={name: _rate(count, seconds) for name, count in activity.accepted_by_type.items() if count},
        by_tenant={name: _rate(count, seconds) for name, count in activity.accepted_by_tenant.items() if count},
    )


def restricted(point: Point, tenants: frozenset[str] | None) -> Point:
    """What a viewer of ``tenants`` sees of a point: their own traffic, and how fast the pipeline is for everybody."""
    if tenants is None:
        return point
    mine = {tenant: rate for tenant, rate in point.by_tenant.items() if tenant in tenants}
    return Point(
        at=point.at,
        accepted=sum(mine.values()),
        p50=point.p50,
        p95=point.p95,
        p99=point.p99,
        lag_p50=point.lag_p50,
        lag_p99=point.lag_p99,
        by_tenant=mine,
    )


_COLUMNS = tuple(name for name in Point.__struct_fields__ if name not in {"breakers", "by_type", "by_tenant"})


def as_columns(points: Sequence[Point]) -> dict[str, object]:
    """Points as one list a field, with the breakdowns as one list a type and a tenant."""
    names = dict(zip(Point.__struct_fields__, Point.__struct_encode_fields__, strict=True))
    columns: dict[str, object] = {names[field]: [getattr(point, field) for point in points] for field in _COLUMNS}
    for field in ("by_type", "by_tenant"):
        values = sorted({value for point in points for value in getattr(point, field)})
        columns[names[field]] = {value: [getattr(point, field).get(value, 0.0) for point in points] for value in values}
    return columns


def _rate(count: float, seconds: float) -> float:
    return round(count / seconds, 2)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
