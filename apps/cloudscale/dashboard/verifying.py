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
    from cloudscale.dashboard.slow_answers import SlowAnswers
    from cloudscale.ledger.verification import Balance

LISTED = 500
"""Named ids of each kind that a page shows; the counts are of all."""

DEFAULT_SPAN = timedelta(hours=24)


async def show(request: Request) -> Response:
    """The balance of the last day, at most some seconds old; 202 while it is being taken."""
    viewer = await viewer_of(request)
    since = _since(request)
    backends: Backends = request.app.state.backends

    async def take() -> Balance:
        return await verification.verify(
            backends.resource,
            backends.settings,
            redis=backends.redis,
            store=await backends.store(),
            scope=verification.Scope(since=since, tenants=viewer.tenants),
        )

    balances: SlowAnswers[Balance] = request.app.state.balances
    balance = await balances.get((viewer.tenants, since), take)
    return JsonResponse({"pending": True}, 202) if balance is None else JsonResponse(as_page(balance))


async def verify_now(request: Request) -> Response:
    """Have the balance taken now, for :func:`show` to answer."""
    refuse_other_sites(request)
    viewer = await viewer_of(request)
    balances: SlowAnswers[Balance] = request.app.state.balances
    await balances.forget((viewer.tenants, _since(request)))
    return await show(request)


def _since(request: Request) -> timedelta | None:
    return None if request.query_params.get("span") == "all" else DEFAULT_SPAN


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
