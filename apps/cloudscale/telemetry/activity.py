"""What a whole pipeline did between two readings of its live figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.telemetry.distribution import Distribution
from cloudscale.telemetry.figures import Counts, Figures

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

FORGOTTEN_SECONDS: Final = 3600.0
"""A process that has published nothing for so long does not come back."""


class Activity(msgspec.Struct, kw_only=True):
    """Sums over all processes for a span of ``seconds``; counts are events unless their name says otherwise."""

    seconds: float
    accepted_by_type: Counts = {}
    accepted_by_tenant: Counts = {}
    persisted_by_type: Counts = {}
    persisted_by_tenant: Counts = {}
    responses: Counts = {}
    rejections: Counts = {}
    rate_limited: Counts = {}
    duplicates: Counts = {}
    dead_letters: Counts = {}
    suspicious: Counts = {}
    retries: Counts = {}
    request_units: float = 0.0
    ingestion_seconds: Distribution = Distribution()
    lag_seconds: Distribution = Distribution()
    store_seconds: Distribution = Distribution()
    group_events: Distribution = Distribution()

    started: int = 0
    """Processes that started in the span."""

    # What holds at the end of the span.
    ingestion_processes: int = 0
    worker_processes: int = 0
    concurrency_limit: int | None = None
    """The lowest of all workers, or None without workers."""
    breakers: Counts = {}
    cache_available: bool = True

    @property
    def accepted(self) -> float:
        """Events accepted in the span."""
        return sum(self.accepted_by_type.values())

    @property
    def persisted(self) -> float:
        """Events persisted in the span."""
        return sum(self.persisted_by_type.values())


def between(earlier: Collection[Figures], later: Collection[Figures]) -> Activity:
    """What happened from ``earlier`` to ``later``, two readings of :func:`cloudscale.telemetry.figures.read_all`."""
    return during([earlier, later], since=max((figures.at for figures in earlier), default=math.inf))


def during(readings: Sequence[Collection[Figures]], *, since: float) -> Activity:
    """What happened from the first of some readings to the last; with one alone, since ``since``.

    A process that the first reading does not know counts from zero if it started at ``since`` (epoch seconds) or later:
    counts begin at zero. Otherwise it was missed, and counts from the earliest reading that knows it.
    """
    now = readings[-1]
    before = {figures.process: figures for figures in readings[0]} if len(readings) > 1 else {}
    earliest = {figures.process: figures for reading in reversed(readings) for figures in reading}
    ended = max((figures.at for figures in now), default=since)
    activity = Activity(seconds=max(0.0, ended - max((figures.at for figures in before.values()), default=since)))
    for figures in now:
        _add_state(activity, figures)
        former = before.get(figures.process)
        if former is None and figures.started_at >= since:
            activity.started += 1
            former = Figures(role=figures.role, process=figures.process, started_at=figures.started_at, at=since)
        _add_counts(activity, former or earliest[figures.process], figures)
    return activity


class Progress:
    """Says of readings, one after the other, what happened from each to the next: nothing twice, and all of it.

    Args:
        first: the first reading.
        since: epoch seconds. What a process did before the first reading counts if it started then or later.
    """

    def __init__(self, first: Iterable[Figures], *, since: float) -> None:
        self._since = since
        self._known = {figures.process: figures for figures in first if figures.started_at < since}
        """The last that was read of each process, also of those that the last reading missed."""

    def to(self, reading: Collection[Figures]) -> Activity:
        """What happened until ``reading``, the newest."""
        activity = during([self._known.values(), reading], since=self._since)
        self._known |= {figures.process: figures for figures in reading}
        newest = max((figures.at for figures in reading), default=self._since)
        self._known = {
            name: figures for name, figures in self._known.items() if figures.at > newest - FORGOTTEN_SECONDS
        }
        return activity


_COUNTS = ("responses", "rejections", "rate_limited", "duplicates", "dead_letters", "suspicious", "retries")
_DISTRIBUTIONS = ("ingestion_seconds", "lag_seconds", "store_seconds", "group_events")


def _add_counts(activity: Activity, former: Figures, figures: Figures) -> None:
    for name in _COUNTS:
        setattr(activity, name, _sum(getattr(activity, name), growth(getattr(former, name), getattr(figures, name))))
    for name in _DISTRIBUTIONS:
        setattr(activity, name, getattr(activity, name) + (getattr(figures, name) - getattr(former, name)))
    activity.request_units += figures.request_units - former.request_units
    for event_type, tenants in figures.accepted.items():
        grown = growth(former.accepted.get(event_type, {}), tenants)
        activity.accepted_by_type = _sum(activity.accepted_by_type, {event_type: sum(grown.values())})
        activity.accepted_by_tenant = _sum(activity.accepted_by_tenant, grown)
    for event_type, tenants in figures.persisted.items():
        grown = growth(former.persisted.get(event_type, {}), tenants)
        activity.persisted_by_type = _sum(activity.persisted_by_type, {event_type: sum(grown.values())})
        activity.persisted_by_tenant = _sum(activity.persisted_by_tenant, grown)


def _add_state(activity: Activity, figures: Figures) -> None:
    activity.cache_available = activity.cache_available and figures.cache_available
    activity.breakers = {
        backend: max(activity.breakers.get(backend, 0), figures.breakers.get(backend, 0))
        for backend in activity.breakers | figures.breakers
    }
    if figures.role == "ingestion":
        activity.ingestion_processes += 1
        return
    activity.worker_processes += 1
    if figures.concurrency_limit:
        lowest = activity.concurrency_limit or figures.concurrency_limit
        activity.concurrency_limit = min(lowest, figures.concurrency_limit)


def growth(former: Mapping[str, float], now: Mapping[str, float]) -> Counts:
    """By how much each count has grown; those that have not are left out."""
    grown = {name: count - former.get(name, 0.0) for name, count in now.items()}
    return {name: count for name, count in grown.items() if count > 0}


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> Counts:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
