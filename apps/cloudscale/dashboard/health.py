"""How a pipeline is, in one sentence: the most serious problem first, with a link to where it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale.telemetry.service_levels import PROCESSING_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloudscale.dashboard.points import Point
    from cloudscale.dashboard.service_levels import Attainment
    from cloudscale.pipeline import PipelineSpec

State = Literal["good", "warn", "bad"]

STALE_SECONDS = 5.0
"""Figures come once a second; older ones do not show the present."""
TREND_SECONDS = 60.0
"""Span over which the queue's depth is compared."""
SHORTEST_TREND_SECONDS = 10.0
OLD_EVENT_SECONDS = 300.0
"""Wait of the oldest event from which on there is a backlog, however few events there are."""
BACKLOG_EVENTS = 5_000
"""Waiting events that are a backlog where the concurrency of workers has one step only."""
GROWING_EVENTS, GROWING_SECONDS = 1_000, 30.0
"""Waiting events, or the wait of the oldest where that is known, from which on it is worth a warning that they grow."""
REFUSED_SHARE = 0.05
"""Of all that was sent, from which on refusals are worth a warning."""


class Health(msgspec.Struct, frozen=True):
    """The state, and what to read about it; ``link`` is a page of the dashboard, empty where none says more."""

    state: State
    message: str
    link: str = ""


def assess(
    points: Sequence[Point], latest: Point, levels: Sequence[Attainment], *, spec: PipelineSpec, at: float
) -> Health:
    """The health of a pipeline at a moment.

    Args:
        points: the series, oldest first; the trend of the queue's depth is read from its end.
        latest: the newest figures.
        levels: the service levels over the last hour.
        spec: what the pipeline should be.
        at: the moment, in epoch seconds.
    """
    found = [*_outages(points, latest, spec=spec, at=at), *_problems(points, latest, levels, spec=spec)]
    if not found:
        return Health("good", f"All is well. {'Events are flowing.' if latest.accepted else 'No events arrive.'}")
    return next((health for health in found if health.state == "bad"), found[0])


def stale(latest: Point, *, at: float) -> Health | None:
    """That the figures are too old to say anything, or None."""
    age = at - latest.at
    if age <= STALE_SECONDS:
        return None
    return Health("bad", f"The figures are {_spoken(age)} old: Redis or the dashboard's collector does not answer.")


def _outages(points: Sequence[Point], latest: Point, *, spec: PipelineSpec, at: float) -> Iterator[Health]:
    if old := stale(latest, at=at):
        yield old
    if not latest.ingestion:
        yield Health("bad", "Ingestion is not running: no events are taken in.")
    if opened := [name for name, state in latest.breakers.items() if state == 2]:
        yield Health("bad", f"The circuit breaker of {' and '.join(opened)} is open: calls are paused.")
    if spec.paused:
        waiting = f" {latest.queue_depth:,} wait." if latest.queue_depth else ""
        yield Health("warn", f"The pipeline is paused: events are accepted and not processed.{waiting}")
    elif not latest.workers and _is_backlog(latest, spec):
        yield Health("bad", f"No worker is running: {_waiting(points, latest)}.")
    elif not latest.workers and (latest.queue_depth or spec.processing.replicas.min):
        yield Health("warn", "No worker is running: accepted events wait in the queue.")


def _problems(
    points: Sequence[Point], latest: Point, levels: Sequence[Attainment], *, spec: PipelineSpec
) -> Iterator[Health]:
    if not spec.paused and _is_backlog(latest, spec):
        yield Health("bad", f"{_waiting(points, latest)}.")
    elif not spec.paused and _is_growing(points, latest):
        yield Health("warn", f"{_waiting(points, latest)}.")
    if overspent := [level for level in levels if level.budget_left < 0]:
        yield _overspent(overspent)
    if not latest.cache_available:
        yield Health("warn", "Redis is away: limits hold in each process only, duplicates are found by the store.")
    if latest.queue_depth is None:
        yield Health("warn", "The queue's depth cannot be read.")
    if latest.lag_p99 is not None and latest.lag_p99 > PROCESSING_SECONDS * 1000:
        late = _spoken(latest.lag_p99 / 1000)
        yield Health(
            "warn", f"Events are stored late: 1 in 100 after more than {late} (target {PROCESSING_SECONDS:g} s)."
        )
    refused = latest.rejections + latest.rate_limited
    if refused and refused >= REFUSED_SHARE * (refused + latest.accepted):
        share = refused / (refused + latest.accepted)
        yield Health("warn", f"{share:.0%} of what is sent is refused: {refused:,.1f} a second.")
    if latest.dead_letter_depth:
        yield Health("warn", f"{latest.dead_letter_depth:,} dead letters wait for a decision.", "#/dead-letters")


def _is_backlog(latest: Point, spec: PipelineSpec) -> bool:
    """Whether so many events wait that workers slow down for them, or some for so long, that something is wrong."""
    steps = spec.processing.concurrency.steps
    most = steps[1].depth if len(steps) > 1 else BACKLOG_EVENTS
    depth = latest.queue_depth or 0
    return depth >= most or (depth > 0 and (latest.oldest_seconds or 0) > OLD_EVENT_SECONDS)


def _is_growing(points: Sequence[Point], latest: Point) -> bool:
    """Whether more and more events wait, longer than a worker that keeps up lets them."""
    rate = _rate(points, latest)
    if rate is None or rate <= 0:
        return False
    if latest.oldest_seconds is None:
        return (latest.queue_depth or 0) >= GROWING_EVENTS
    return latest.oldest_seconds > GROWING_SECONDS


def _waiting(points: Sequence[Point], latest: Point) -> str:
    """How many events wait, and how that changes."""
    return f"{latest.queue_depth or 0:,} events wait in the queue, {_trend(points, latest)}"


def _overspent(levels: Sequence[Attainment]) -> Health:
    """That the error budgets of these levels, at least one, are used up."""
    counts = [f"{level.bad:,.0f} of {level.total:,.0f}" for level in levels]
    if len(levels) == 1:
        text = f"{levels[0].title}: the error budget of the last hour is overspent, {counts[0]} were bad."
    else:
        named = ", ".join(f"{level.title} ({count} were bad)" for level, count in zip(levels, counts, strict=True))
        text = f"The error budgets of the last hour are overspent: {named}."
    return Health("bad", text, "#/dead-letters" if any(level.name == "errors" for level in levels) else "")


def _trend(points: Sequence[Point], latest: Point) -> str:
    """How the queue's depth moves, and when it will be empty if it goes on like that."""
    depth, rate = latest.queue_depth or 0, _rate(points, latest)
    if rate is None:
        return "and it is not known yet how that changes"
    if rate < 0:
        return f"{-rate:,.0f} fewer a second: drained in about {_spoken(depth / -rate)}"
    return f"{rate:,.0f} more a second" if rate > 0 else "and it does not get less"


def _rate(points: Sequence[Point], latest: Point) -> float | None:
    """By how many events a second the queue's depth grows; None if that is not known yet."""
    known = [point for point in points if point.queue_depth is not None and latest.at - point.at <= TREND_SECONDS]
    if not known or latest.at - known[0].at < SHORTEST_TREND_SECONDS:
        return None
    return ((latest.queue_depth or 0) - (known[0].queue_depth or 0)) / (latest.at - known[0].at)


def _spoken(seconds: float) -> str:
    """A time as people say it, in its largest unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
