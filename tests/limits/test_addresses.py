"""One client is one client, however its address is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.limits.addresses import client_of, normalise


@pytest.mark.parametrize(
    ("spelling", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:0201", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("unix:/run/proxy", "unix:/run/proxy"),
    ],
)
def test_an_address_has_one_spelling(spelling: str, address: str) -> None:
    assert normalise(spelling) == address


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_a_client_in_both_families(address: IPv4Address) -> None:
    assert client_of(str(address)) == client_of(f"::ffff:{address}") == str(address)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_all_addresses_of_a_network_of_64_bits_are_one_client(network: int, one: int, other: int) -> None:
    clients = {client_of(str(IPv6Address((network << 64) + host))) for host in (one, other)}
    if not any(IPv6Address((network << 64) + host).ipv4_mapped for host in (one, other)):
        assert len(clients) == 1


def test_two_networks_are_two_clients() -> None:
    assert client_of("2001:db8:0:1::5") == "2001:db8:0:1::/64"
    assert client_of("2001:db8:0:2::5") == "2001:db8:0:2::/64"


@given(st.text(max_size=40))
def test_what_is_no_address_is_counted_as_it_is(text: str) -> None:
    assert client_of(client_of(text)) == client_of(text)
