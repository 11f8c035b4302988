"""How the service levels were kept over the last hour, and how much of each error budget is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudscale.telemetry.service_levels import SERVICE_LEVELS, ServiceLevel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.telemetry.service_levels import Tally


class Attainment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One objective and how it is kept. Shares are 0 to 1."""

    name: str
    title: str
    objective: str
    target: float
    """Share that must be good."""
    limit_seconds: float | None
    """For a level of speed: what is slower is bad."""
    total: float
    bad: float
    attained: float | None
    """Share that was good, or None without traffic."""
    budget_left: float
    """1 while nothing was bad, 0 when the budget is used up, negative beyond."""


def attainments(tallies: Iterable[Tally]) -> list[Attainment]:
    """How each service level was kept over all the tallies."""
    kept = list(tallies)
    return [_attainment(level, kept) for level in SERVICE_LEVELS]


def _attainment(level: ServiceLevel, tallies: list[Tally]) -> Attainment:
    total = sum(map(level.total_of, tallies))
    bad = max(0.0, sum(map(level.bad_of, tallies)))
    allowed = (1 - level.target) * total
    return Attainment(
        name=level.name,
        title=level.title,
        objective=level.objective,
        target=level.target,
        limit_seconds=level.limit_seconds,
        total=round(total),
        bad=round(bad),
        attained=1 - bad / total if total else None,
        budget_left=1 - bad / allowed if allowed else 1.0,
    )
