"""Whose request it is: the address behind the proxies that the resource trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

    from cloudscale.limits.client_address import ClientAddresses


def address_of(request: Request) -> str:
    """The client's address, empty if the connection has none.

    The networks and the header are those of ``ingestion.trustedProxies`` and ``ingestion.forwardedHeader``: what stands
    in front of a pipeline stands in front of both of its services.
    """
    if request.client is None:
        return ""
    addresses: ClientAddresses = request.app.state.addresses
    # A proxy may add a line of its own below one that the client sent.
    lines = request.headers.getlist(addresses.header) if addresses.has_proxies else []
    return addresses.find(request.client.host, ",".join(lines) or None)
