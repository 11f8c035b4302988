"""The page Refused: what ingestion has refused in the last hours, by tenant, client, field and reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from cloudscale.cache.keys import keys_of
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.sessions import viewer_of
from cloudscale.telemetry.refusals import HOUR_SECONDS, HOURS_KEPT, RefusalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.backends import Backends
    from cloudscale.telemetry.refusals import Group, Refused

GROUPS_SHOWN = 100
VALUES_SHOWN = 10
SAMPLES_SHOWN = 5

DIMENSIONS: Mapping[str, Callable[[Group], str]] = {
    "reason": lambda group: group.reason,
    "tenant": lambda group: group.tenant_id,
    "field": lambda group: group.field,
    "client": lambda group: group.client,
    "status": lambda group: str(group.status),
}
"""By what refusals are counted and chosen: how each is called in requests, and where a group has it."""


async def show(request: Request) -> Response:
    """What was refused in the last ``hours``, as far as the viewer may see it and it has the values asked for."""
    viewer = await viewer_of(request)
    asked = request.query_params
    hours = asked.get("hours") or str(HOURS_KEPT)
    if not (hours.isascii() and hours.isdecimal() and len(hours) <= 2 and 1 <= int(hours) <= HOURS_KEPT):
        raise RefusedError(400, f"Ask for 1 to {HOURS_KEPT} hours.")
    chosen = {name: asked[name] for name in DIMENSIONS if asked.get(name)}
    if not viewer.sees(chosen.get("tenant", "")) and "tenant" in chosen:
        raise RefusedError(403, f"This access token is not for tenant {chosen['tenant']}.")
    backends: Backends = request.app.state.backends
    store = RefusalStore(backends.redis, key_prefix=keys_of(backends.resource).refused)
    refused = await request.app.state.answers.get(("refused", int(hours)), lambda: store.read(hours=int(hours)))
    return JsonResponse(as_page(refused, viewer=viewer, chosen=chosen))


def as_page(refused: Mapping[Group, Refused], *, viewer: Viewer, chosen: Mapping[str, str]) -> dict[str, Any]:
    """The groups that are ``chosen`` by value of a dimension, the largest first, and sums over all of them.

    ``withoutPlace`` counts those of which no more than status and reason are known; it is for viewers of all tenants.
    """
    seen = [
        (group, each)
        for group, each in refused.items()
        if (viewer.tenants is None or viewer.sees(group.tenant_id))
        and all(DIMENSIONS[name](group) == value for name, value in chosen.items())
    ]
    seen.sort(key=lambda pair: pair[1].count, reverse=True)
    sums = {name: Counter[str]() for name in DIMENSIONS}
    for group, each in seen:
        for name, value_of in DIMENSIONS.items():
            sums[name][value_of(group)] += each.count
    return {
        "refused": sum(each.count for _, each in seen),
        "withoutPlace": sum(each.count for group, each in seen if not group.client),
        "by": {
            name: [{"value": value, "count": count} for value, count in values.most_common(VALUES_SHOWN)]
            for name, values in sums.items()
        },
        "groups": [_row(group, each) for group, each in seen[:GROUPS_SHOWN]],
        "groupCount": len(seen),
    }


def _row(group: Group, refused: Refused) -> dict[str, Any]:
    samples = sorted(refused.samples, key=lambda sample: sample.at, reverse=True)[:SAMPLES_SHOWN]
    return {
        "status": group.status,
        "reason": group.reason,
        "tenantId": group.tenant_id,
        "client": group.client,
        "field": group.field,
        "count": refused.count,
        "latestAt": max([refused.latest_hour * HOUR_SECONDS, *(sample.at for sample in samples)]),
        "samples": samples,
    }


routes = [Route("/api/refused", show)]
