"""The pipeline's service levels over the last hour, and how much of each error budget is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.dashboard.points import Tally


class ServiceLevel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One objective and how it is kept. Shares are 0 to 1."""

    name: str
    title: str
    objective: str
    target: float
    """Share that must be good."""
    total: float
    bad: float
    attained: float | None
    """Share that was good, or None without traffic."""
    budget_left: float
    """1 while nothing was bad, 0 when the budget is used up, negative beyond."""


def service_levels(tallies: Iterable[Tally]) -> list[ServiceLevel]:
    """The four objectives, over all the tallies."""
    requests = failed = ingested = in_time = processed = processed_in_time = dead = 0.0
    for tally in tallies:
        requests += tally.requests
        failed += tally.failed_requests
        ingested += tally.ingested
        in_time += tally.ingested_in_time
        processed += tally.processed
        processed_in_time += tally.processed_in_time
        dead += tally.dead_lettered
    return [
        _level(
            name="availability",
            title="Availability",
            objective="99.9 % of requests not answered 5xx",
            target=0.999,
            total=requests,
            bad=failed,
        ),
        _level(
            name="ingestion",
            title="Ingestion speed",
            objective="99 % of events answered within 200 ms",
            target=0.99,
            total=ingested,
            bad=ingested - in_time,
        ),
        _level(
            name="processing",
            title="Processing speed",
            objective="99 % of events stored within 2 s",
            target=0.99,
            total=processed,
            bad=processed - processed_in_time,
        ),
        _level(
            name="errors",
            title="Errors",
            objective="Less than 0.1 % of events dead-lettered",
            target=0.999,
            total=processed + dead,
            bad=dead,
        ),
    ]


def _level(*, name: str, title: str, objective: str, target: float, total: float, bad: float) -> ServiceLevel:
    bad = max(0.0, bad)
    allowed = (1 - target) * total
    return ServiceLevel(
        name=name,
        title=title,
        objective=objective,
        target=target,
        total=round(total),
        bad=round(bad),
        attained=1 - bad / total if total else None,
        budget_left=1 - bad / allowed if allowed else 1.0,
    )
