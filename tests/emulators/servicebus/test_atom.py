from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.atom import CONNECT, FOREVER, format_duration, parse_duration, parse_queue
from cloudscale.emulators.servicebus.conditions import ArgumentError
from cloudscale.emulators.servicebus.description import FOREVER_MILLISECONDS, QueueDescription


def described(settings: str) -> bytes:
    return (
        f'<entry><content><QueueDescription xmlns="{CONNECT}">{settings}</QueueDescription></content></entry>'.encode()
    )


@given(milliseconds=st.integers(0, 10**12))
def test_a_duration_comes_back_as_it_was_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


def test_a_duration_adds_up_its_parts() -> None:
    whole = datetime.timedelta(days=2, hours=3, minutes=4, seconds=5.25)
    assert parse_duration("P2DT3H4M5.25S") == whole.total_seconds() * 1000


@pytest.mark.parametrize("text", [FOREVER, "P99999999999D", "PT" + "9" * 400 + "S"])
def test_a_duration_beyond_the_longest_is_the_longest(text: str) -> None:
    assert parse_duration(text) == FOREVER_MILLISECONDS


@pytest.mark.parametrize("text", ["", "P", "PT", "1M", "P1M", "PT\u0661S", "PT\u00b2S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="no ISO 8601 duration"):
        parse_duration(text)


@pytest.mark.parametrize("name", ["MaxSizeInMegabytes", "MaxDeliveryCount"])
@pytest.mark.parametrize("number", ["9" * 4299, "9" * 5000, "\u00b2", "ten"])
def test_a_number_that_no_queue_can_use_is_refused(name: str, number: str) -> None:
    with pytest.raises(ArgumentError):
        parse_queue(described(f"<{name}>{number}</{name}>")).apply(QueueDescription(name="queue")).check()


@pytest.mark.parametrize("encoding", ["unknown", "utf-7", "shift_jis", "base64", "utf-16"])
def test_an_encoding_that_the_parser_cannot_use_is_refused(encoding: str) -> None:
    with pytest.raises(ArgumentError, match="no XML"):
        parse_queue(f"<?xml version='1.0' encoding='{encoding}'?><entry/>".encode())
