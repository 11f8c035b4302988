"""Keys in queries and bodies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.access.caller import NotAuthenticatedError
from cloudscale.ingestion.page_keys import key_in_query, take_key_out

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
events = st.dictionaries(st.text(max_size=12).filter(lambda name: name != "cloudscaleKey"), values, max_size=6)


@given(event=events, place=st.integers(0, 6))
def test_a_body_without_its_key_is_the_event(event: dict[str, Any], place: int) -> None:
    members = list(event.items())
    members.insert(place, ("cloudscaleKey", "cs_1"))
    key, content = take_key_out(msgspec.json.encode(dict(members)), of_batch=False)

    assert (key, msgspec.json.decode(content)) == ("cs_1", event)


def test_a_number_stays_as_it_was_written() -> None:
    content = b'{"a":1.0000000000000000001,"cloudscaleKey":"k","b":[1E2 , 10000000000000000000]}'

    key, rest = take_key_out(content, of_batch=False)
    assert (key, rest) == ("k", b'{"a":1.0000000000000000001,"b":[1E2 , 10000000000000000000]}')


def test_the_events_of_a_batch_stand_beside_the_key() -> None:
    events, more = b'{"cloudscaleKey":"k","events":[]}', b'{"cloudscaleKey":"k","events":[],"more":1}'

    assert take_key_out(b'{"events": [{"a":1},2] ,"cloudscaleKey":"k"}', of_batch=True) == ("k", b'[{"a":1},2]')
    assert take_key_out(more, of_batch=True) == ("k", b'{"events":[],"more":1}')
    assert take_key_out(events, of_batch=False) == ("k", b'{"events":[]}')


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"1", b"{", b'"cs_1"', b"\xff"),
        *(b'{"cloudscaleKey":1}', b'{"cloudscaleKey":"a","cloudscaleKey":"b"}'),
    ],
)
def test_other_bodies_have_no_key_and_stay_as_they_are(body: bytes) -> None:
    assert take_key_out(body, of_batch=False) == (None, body)


@pytest.mark.parametrize(
    ("query", "key"),
    [("", None), ("a=b", None), ("key=cs_1", "cs_1"), ("a=b&k%65y=cs%5F1", "cs_1"), ("KEY=cs_1", None), ("key=", None)],
)
def test_the_key_of_a_query_is_found(query: str, key: str | None) -> None:
    assert key_in_query(query) == key


@pytest.mark.parametrize("query", ["key=a&key=a", "key=a&k%65y=b", "&".join(f"a{n}=1" for n in range(17))])
def test_two_keys_or_too_many_parameters_are_refused(query: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        key_in_query(query)
