"""Whose request it is: the address that rate limits and the velocity check go by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cloudscale.limits.addresses import Networks, normalise, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudscale.pipeline import Ingestion

MOST_HOPS = 32
MOST_CHARACTERS = 8192
"""Of a header with forwarded addresses, from its right end: nobody has more proxies, and what a client writes is not
worth more work."""

# Nothing in these can match in two ways (*+ and ++ give nothing back), so that no header takes long.
_NODE: Final = re.compile(r'for=(?:([^\s;,"]++)|"((?:[^"\\]|\\.)*+)")\Z', re.IGNORECASE).match
_PAIR: Final = r"""[\w!#$%&'*+.^`|~-]++=(?:[^\s;,"]++|"(?:[^"\\]|\\.)*+")"""
_LAST_ELEMENT: Final = re.compile(
    rf"(?:\A|,)[ \t]*+({_PAIR}(?:[ \t]*+;(?:[ \t]*+{_PAIR})?)*+)?[ \t]*+\Z",
).search
_PAIRS: Final = re.compile(_PAIR).findall


class ClientAddresses:
    """Finds the client behind trusted proxies.

    A forwarded address is believed only as far as trusted proxies vouch for it: from the right, the first address
    outside their networks is the client, whatever stands to its left.
    """

    def __init__(self, spec: Ingestion) -> None:
        self._proxies = Networks(spec.trusted_proxies)
        self.header = spec.forwarded_header.lower()
        """The name of the header with forwarded addresses."""
        self._hops = _forwarded_hops if spec.forwarded_header == "Forwarded" else _listed_hops

    @property
    def has_proxies(self) -> bool:
        """Whether forwarded addresses are looked at at all."""
        return bool(self._proxies)

    def find(self, peer: str, forwarded: str | None) -> str:
        """The client's address, in its one spelling.

        Args:
            peer: address of the connection, with or without a port.
            forwarded: the :attr:`header`, all its lines joined by commas.
        """
        address = normalise(without_port(peer))
        if not forwarded or not self._proxies.contain(address):
            return address
        for hop in self._hops(forwarded):
            candidate = without_port(hop)
            if parse_address(candidate) is None:
                # Nonsense was put there by somebody outside, so the last proxy that made sense is as far as we know.
                return address
            address = normalise(candidate)
            if not self._proxies.contain(address):
                return address
        return address


def _listed_hops(header: str) -> Iterator[str]:
    """The addresses of an ``X-Forwarded-For``, from the right."""
    yield from (hop.strip() for hop in reversed(header.rsplit(",", MOST_HOPS)[-MOST_HOPS:]))


def _forwarded_hops(header: str) -> Iterator[str]:
    """The nodes that ``for`` names in a ``Forwarded`` (RFC 7239, section 4), from the right; empty where it does not.

    Read from the right, because what stands there is the nearest proxy's: quotes that a client did not close take
    nothing of it away.
    """
    rest = header[-MOST_CHARACTERS:]
    for _ in range(MOST_HOPS):
        element = _LAST_ELEMENT(rest)
        if element is None:
            yield ""
            return
        nodes = [found for pair in _PAIRS(element[1] or "") if (found := _NODE(pair))]
        yield "" if len(nodes) != 1 else nodes[0][1] or re.sub(r"\\(.)", r"\1", nodes[0][2])
        rest = rest[: element.start()]
        if not rest:
            return


def without_port(address: str) -> str:
    """``192.0.2.1:4711`` and ``[2001:db8::1]:4711`` without their ports."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, colon, port = address.rpartition(":")
    return host if colon and port.isdigit() and ":" not in host else address
