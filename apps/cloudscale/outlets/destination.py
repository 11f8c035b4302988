"""Which addresses an outlet may connect to, so that nobody can have it send to what only the pipeline can reach.

A name is resolved once, by the client that connects, and every address is looked at when the socket for it is made. So
nothing lies between the check and the connection in which the name could come to mean another address.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp.connector import AddrInfoType

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
"""NAT64 (RFC 6052, RFC 8215): the last 32 bits are an IPv4 address."""
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


class RefusedAddressError(OSError):
    """An outlet may not connect to the address."""


def carried(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, mapped, translated or tunnelled; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED) or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def refusal(text: str, *, allow_private: bool) -> str:
    """Why an outlet may not connect to the address ``text``, which may have a zone; empty if it may."""
    address = carried(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return f"{text} is no address of a receiver: it is link-local, multicast or unspecified"
    if not (allow_private or (address.is_global and not _is_site_local(address))):
        return (
            f"{text} is not a public address: an outlet connects to it only with webhook.allowPrivate: true, or the "
            "name was meant to lead elsewhere"
        )
    return ""


def _is_site_local(address: Address) -> bool:
    """Whether it is of the networks that were private before fc00::/7 was."""
    return isinstance(address, ipaddress.IPv6Address) and address.is_site_local


class Guard:
    """Makes sockets for the addresses that an outlet may connect to, and for no other."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    def __call__(self, address: AddrInfoType) -> socket.socket:
        """A socket for one of the addresses that a name has.

        Raises:
            RefusedAddressError: the outlet may not connect to it.
        """
        family, kind, protocol, _, place = address
        if reason := refusal(str(place[0]), allow_private=self._allow_private):
            raise RefusedAddressError(errno.EACCES, reason)
        return socket.socket(family=family, type=kind, proto=protocol)
