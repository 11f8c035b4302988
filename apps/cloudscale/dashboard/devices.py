"""The page Devices: who is registered, when each was last seen, and how far its clock is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from cloudscale.access.device_view import DeviceFilter, described
from cloudscale.dashboard.responses import JsonResponse
from cloudscale.dashboard.sessions import viewer_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.backends import Backends

DEVICES_SHOWN = 50
SKEW_BOUND_SECONDS = 60.0
"""A clock that is further off is highlighted: such events stand in another minute of every list and sum."""


async def devices(request: Request) -> Response:
    """Devices by tenant, id, type and model, in the order of tenants and ids, page by page.

    ``next`` is what to give as ``after`` for those that follow, None when there are none.
    """
    viewer = await viewer_of(request)
    backends: Backends = request.app.state.backends
    view, asked = await backends.devices(viewer.tenants), request.query_params
    which = DeviceFilter(
        device_id=asked.get("id") or None, type=asked.get("type") or None, model=asked.get("model") or None
    )
    page = await view.find_devices(
        which, tenant=asked.get("tenant") or None, limit=DEVICES_SHOWN, after=asked.get("after") or ""
    )
    return JsonResponse(
        {
            "devices": [described(each) for each in page.devices],
            "skewBoundSeconds": SKEW_BOUND_SECONDS,
            "next": page.following,
        }
    )


routes = [Route("/api/devices", devices)]
