"""Whose request it is: the address that rate limits and the velocity check go by."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING

from cloudscale.limits.addresses import normalise, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable

REMEMBERED_PEERS = 10_000


class ClientAddresses:
    """Finds the client behind trusted proxies.

    A forwarded address is believed only as far as trusted proxies vouch for it: from the right, the first address
    outside their networks is the client, whatever stands to its left.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in trusted_proxies)
        self._is_trusted = lru_cache(REMEMBERED_PEERS)(self._look_up)

    @property
    def has_proxies(self) -> bool:
        """Whether forwarded addresses are looked at at all."""
        return bool(self._networks)

    def find(self, peer: str, forwarded_for: str | None) -> str:
        """The client's address, in its one spelling.

        Args:
            peer: address of the connection, with or without a port.
            forwarded_for: the ``X-Forwarded-For`` header, all its lines joined by commas.
        """
        address = normalise(without_port(peer))
        if not self._networks or not forwarded_for or not self._is_trusted(address):
            return address
        for hop in reversed(forwarded_for.split(",")):
            candidate = without_port(hop.strip())
            if parse_address(candidate) is None:
                # Nonsense was put there by somebody outside, so the last proxy that made sense is as far as we know.
                return address
            address = normalise(candidate)
            if not self._is_trusted(address):
                return address
        return address

    def _look_up(self, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._networks
        )


def without_port(address: str) -> str:
    """``192.0.2.1:4711`` and ``[2001:db8::1]:4711`` without their ports."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, colon, port = address.rpartition(":")
    return host if colon and port.isdigit() and ":" not in host else address
