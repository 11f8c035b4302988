"""How much the tenants send now, and what they may send where they have no quota of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from cloudscale.dashboard.administering.positions import refuse_parameters
from cloudscale.dashboard.responses import JsonResponse
from cloudscale.limits.rates import UNLIMITED, rates_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.access.administrator import Administrator
    from cloudscale.dashboard.points import Point
    from cloudscale.pipeline import RateLimits


class Measured(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What is accepted of each tenant, from the live figures of the processes."""

    events_per_second: dict[str, float]
    """By tenant; one that is not named sends nothing."""
    age_seconds: float
    """How old these figures are."""
    usual_requests_per_second: float | None
    """What a tenant without a quota may send; None where that is not limited."""
    usual_events_per_second: float | None


async def measured(request: Request, administrator: Administrator) -> Response:
    """How much the tenants that the administrator is for send now."""
    refuse_parameters(request.query_params)
    state = request.app.state
    limits = state.backends.resource.spec.ingestion.rate_limits
    return JsonResponse(measure(state.collector.latest, administrator.authority.tenants, limits, now=time.time()))


def measure(point: Point, tenants: frozenset[str] | None, limits: RateLimits, *, now: float) -> Measured:
    """What a point of the live figures says of some tenants, None being all."""
    usual = rates_of(limits).tenant
    return Measured(
        events_per_second={
            tenant: rate for tenant, rate in point.by_tenant.items() if tenants is None or tenant in tenants
        },
        age_seconds=round(max(0.0, now - point.at), 1),
        usual_requests_per_second=_limit(usual.per_second),
        usual_events_per_second=_limit(usual.events_per_second),
    )


def _limit(per_second: float) -> float | None:
    return None if per_second >= UNLIMITED else per_second
