"""Who counts as one client: the limits and the velocity rule go by the same part of an address.

An IPv4 address is one client. Of an IPv6 address the first 64 bits are, because a network of that size is what one
subscriber is given, and its owner chooses the rest freely (RFC 6177).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

IPV6_CLIENT_BITS = 64
CACHED_ADDRESSES = 10_000


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in any of its spellings, None if it is none.

    A zone is left out, since it names an interface of one machine. An IPv4 address that is mapped into IPv6 is the IPv4
    address: that is how a socket of both families shows its IPv4 peers (RFC 4291, section 2.5.5.2).
    """
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


class Networks:
    """A set of networks, such as ``10.0.0.0/8``. False when there are none."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)
        self.contain = lru_cache(CACHED_ADDRESSES)(self._look_up)
        """Whether an address, in any spelling, is in one of them."""

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _look_up(self, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._networks
        )


@lru_cache(CACHED_ADDRESSES)
def normalise(address: str) -> str:
    """The one spelling of an address; what is none stays as it is."""
    parsed = parse_address(address)
    return address if parsed is None else str(parsed)


@lru_cache(CACHED_ADDRESSES)
def client_of(address: str) -> str:
    """What is counted for ``address``: itself, or its network for IPv6. What is no address stays as it is."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_CLIENT_BITS), strict=False))
    return address if parsed is None else str(parsed)
