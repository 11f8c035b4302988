"""Whose request it is, whatever stands in the headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.limits.client_address import MOST_HOPS, ClientAddresses, without_port
from cloudscale.pipeline import Ingestion

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")
BEHIND_PROXIES = ClientAddresses(Ingestion(trusted_proxies=PROXIES))
BEHIND_PROXIES_OF_THE_STANDARD = ClientAddresses(Ingestion(trusted_proxies=PROXIES, forwarded_header="Forwarded"))


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
    assert ClientAddresses(Ingestion()).find("192.0.2.1:80", "198.51.100.7") == "192.0.2.1"


def test_a_peer_outside_the_trusted_networks_is_the_client() -> None:
    assert BEHIND_PROXIES.find("192.0.2.1:80", "198.51.100.7") == "192.0.2.1"


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
    assert BEHIND_PROXIES.find(peer, forwarded_for) == client


@pytest.mark.parametrize("forwarded_for", [None, "", "unknown", "198.51.100.7, <script>", "a, 10.1.2.3.4"])
def test_nonsense_does_not_hide_the_proxy(forwarded_for: str | None) -> None:
    assert BEHIND_PROXIES.find("10.0.0.1:80", forwarded_for) == "10.0.0.1"


def test_when_all_are_proxies_the_outermost_is_the_client() -> None:
    assert BEHIND_PROXIES.find("10.0.0.1:80", "10.9.9.9, 10.1.2.3") == "10.9.9.9"


@given(st.lists(st.text(max_size=20)))
def test_what_a_client_writes_does_not_matter_left_of_what_the_proxy_adds(spoofed: list[str]) -> None:
    forwarded_for = ",".join([*spoofed, "198.51.100.7"])

    assert BEHIND_PROXIES.find("10.0.0.1:80", forwarded_for) == "198.51.100.7"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("for=192.0.2.60;proto=http", "192.0.2.60"),
        ("proto=http ; For=192.0.2.60:47", "192.0.2.60"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for="192.0.2.60:4711";by=_proxy', "192.0.2.60"),
        ("for=203.0.113.9, for=192.0.2.60", "192.0.2.60"),
        ("for=203.0.113.9, for=192.0.2.60;host=a, for=10.1.2.3", "192.0.2.60"),
        ('for=203.0.113.9;note=", for=198.51.100.1" , for=192.0.2.60', "192.0.2.60"),
        # What a client leaves open takes nothing away of what the proxy writes behind it.
        ('for=", for=192.0.2.60', "192.0.2.60"),
        ('for=203.0.113.9;x=", for="[2001:db8::60]"', "2001:db8::60"),
        ("x" * 50_000 + ",for=192.0.2.60", "192.0.2.60"),
        ("for=192.0.2.60, for=10.1.2.3" + ", for=10.1.2.3" * 8, "192.0.2.60"),
    ],
)
def test_the_header_of_the_standard_is_read_from_the_right(forwarded: str, client: str) -> None:
    assert BEHIND_PROXIES_OF_THE_STANDARD.find("10.0.0.1:80", forwarded) == client


@pytest.mark.parametrize(
    "forwarded",
    [
        "for=unknown",
        "for=_hidden",
        "proto=http",
        "",
        "192.0.2.60",
        'for="192.0.2.60',
        "for=192.0.2.60;for=192.0.2.61",
        "for=192.0.2.60,",
    ],
)
def test_a_forwarded_header_that_names_no_address_does_not_hide_the_proxy(forwarded: str) -> None:
    assert BEHIND_PROXIES_OF_THE_STANDARD.find("10.0.0.1:80", forwarded) == "10.0.0.1"


@pytest.mark.parametrize("filling", ["; ", ";", " ", ", ", ",", "a=b;", 'a="b', 'a="\\', ';a="', "for=10.0.0.1 "])
def test_no_header_takes_long(filling: str) -> None:
    """Patterns that could match in several ways would take longer than the test may."""
    header = "for=192.0.2.60;" + filling * 10_000 + "!"

    assert BEHIND_PROXIES_OF_THE_STANDARD.find("10.0.0.1:80", header) in ("10.0.0.1", "192.0.2.60")


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40))
def test_whatever_a_client_writes_before_it_the_proxys_element_counts(text: str) -> None:
    assert BEHIND_PROXIES_OF_THE_STANDARD.find("10.0.0.1:80", f"{text}, for=192.0.2.60") == "192.0.2.60"


@pytest.mark.parametrize("hop", ["10.1.2.3", "for=10.1.2.3"])
def test_no_more_than_a_bounded_number_of_hops_is_looked_at(hop: str) -> None:
    addresses = BEHIND_PROXIES_OF_THE_STANDARD if "=" in hop else BEHIND_PROXIES
    client = hop.replace("10.1.2.3", "192.0.2.60")

    assert addresses.find("10.0.0.1:80", ",".join([client] + [hop] * (MOST_HOPS - 1))) == "192.0.2.60"
    assert addresses.find("10.0.0.1:80", ",".join([client] + [hop] * MOST_HOPS)) == "10.1.2.3"
