"""Packing: nothing is lost, reordered or larger than a body may be."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.queue.packing import MAXIMUM_BODY_BYTES, pack

events = st.lists(
    st.integers(min_value=2, max_value=60_000).map(lambda size: b'"' + b"x" * (size - 2) + b'"'), max_size=40
)


@given(events, st.integers(min_value=1, max_value=50))
def test_bodies_hold_all_events_in_their_order(given_events: list[bytes], events_per_message: int) -> None:
    unpacked = []
    for count, body in pack(given_events, events_per_message=events_per_message):
        packed = msgspec.json.decode(body, type=list[msgspec.Raw])
        assert len(packed) == count
        unpacked += [bytes(event) for event in packed]
    assert unpacked == given_events


@given(events, st.integers(min_value=1, max_value=50))
def test_bodies_keep_to_both_bounds(given_events: list[bytes], events_per_message: int) -> None:
    for count, body in pack(given_events, events_per_message=events_per_message):
        assert 1 <= count <= events_per_message
        assert len(body) <= MAXIMUM_BODY_BYTES


def test_an_event_that_fills_a_body_travels_alone() -> None:
    large = b'"' + b"x" * MAXIMUM_BODY_BYTES + b'"'
    assert [count for count, _ in pack([b"1", large, b"2"], events_per_message=100)] == [1, 1, 1]


def test_nothing_packs_into_nothing() -> None:
    assert list(pack([], events_per_message=100)) == []
