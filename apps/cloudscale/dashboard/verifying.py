"""The verification page's data: the balance of accepted and persisted events, from the ledger and the store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.routing import Route

from cloudscale.dashboard.responses import JsonResponse
from cloudscale.dashboard.sessions import refuse_other_sites, viewer_of
from cloudscale.ledger import verification

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.backends import Backends
    from cloudscale.ledger.verification import Balance

LISTED = 500
"""Named ids of each kind that a page shows; the counts are of all."""

DEFAULT_SPAN = timedelta(hours=24)


async def show(request: Request) -> Response:
    """The balance of the last day, at most some seconds old."""
    return await _answer(request, fresh=False)


async def verify_now(request: Request) -> Response:
    """A balance taken now."""
    refuse_other_sites(request)
    return await _answer(request, fresh=True)


async def _answer(request: Request, *, fresh: bool) -> Response:
    viewer = await viewer_of(request)
    everything = request.query_params.get("span") == "all"
    since = None if everything else DEFAULT_SPAN
    backends: Backends = request.app.state.backends

    async def take() -> Balance:
        return await verification.verify(
            backends.resource,
            backends.settings,
            redis=backends.redis,
            store=await backends.store(),
            scope=verification.Scope(since=since, tenants=viewer.tenants),
        )

    balance = await request.app.state.balances.get((viewer.tenants, since), take, fresh=fresh)
    return JsonResponse(as_page(balance))


def as_page(balance: Balance) -> dict[str, Any]:
    """The balance with its sums, and with long lists cut."""
    content: dict[str, Any] = msgspec.to_builtins(balance)
    return content | {
        "totals": balance.totals,
        "surplus": balance.total("surplus"),
        "sharedHours": balance.shared_hours,
        "lost": balance.lost,
        "unaccounted": balance.unaccounted,
        "proven": balance.is_proven,
        "missing": content["missing"][:LISTED],
        "missingCount": len(balance.missing),
        "reserved": content["reserved"][:LISTED],
        "reservedCount": len(balance.reserved),
    }


routes = [
    Route("/api/verification", show, methods=["GET"]),
    Route("/api/verification", verify_now, methods=["POST"]),
]
