"""Whose request it is, whatever stands in the headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.ingestion.client_address import ClientAddresses, without_port

PROXIES = ["10.0.0.0/8", "2001:db8:ffff::/48"]


@pytest.mark.parametrize(
    ("address", "bare"),
    [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_port_is_taken_off(address: str, bare: str) -> None:
    assert without_port(address) == bare


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert ClientAddresses([]).find("192.0.2.1:80", "198.51.100.7") == "192.0.2.1"


def test_a_peer_outside_the_trusted_networks_is_the_client() -> None:
    assert ClientAddresses(PROXIES).find("192.0.2.1:80", "198.51.100.7") == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1:80", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1:80", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1:80", "198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("10.0.0.1:80", " 198.51.100.7:55 ,10.1.2.3:80", "198.51.100.7"),
        ("[2001:db8:ffff::1]:80", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
    ],
)
def test_the_rightmost_address_outside_the_trusted_networks_is_the_client(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert ClientAddresses(PROXIES).find(peer, forwarded_for) == client


@pytest.mark.parametrize("forwarded_for", [None, "", "unknown", "198.51.100.7, <script>", "a, 10.1.2.3.4"])
def test_nonsense_does_not_hide_the_proxy(forwarded_for: str | None) -> None:
    assert ClientAddresses(PROXIES).find("10.0.0.1:80", forwarded_for) == "10.0.0.1"


def test_when_all_are_proxies_the_outermost_is_the_client() -> None:
    assert ClientAddresses(PROXIES).find("10.0.0.1:80", "10.9.9.9, 10.1.2.3") == "10.9.9.9"


@given(st.lists(st.text(max_size=20)))
def test_what_a_client_writes_does_not_matter_left_of_what_the_proxy_adds(spoofed: list[str]) -> None:
    forwarded_for = ",".join([*spoofed, "198.51.100.7"])

    assert ClientAddresses(PROXIES).find("10.0.0.1:80", forwarded_for) == "198.51.100.7"
