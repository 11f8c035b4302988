from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.untrusted_json import ANYTHING, UnreadableJsonError, decode, decode_unambiguous

TOO_DEEP = b"[" * 100_000 + b"]" * 100_000


def dictionaries_of(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'"\xff"', "utf-8"),
        (b'"\\ud800"', "truncated"),
        (TOO_DEEP, "nested too deep"),
    ],
)
def test_what_cannot_be_read_is_one_error_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(UnreadableJsonError, match=reason):
        decode(body, ANYTHING)


def test_another_form_than_the_wanted_one_is_the_same_error() -> None:
    with pytest.raises(UnreadableJsonError, match="Expected `array`"):
        decode(b"{}", msgspec.json.Decoder(list[int]))


def test_what_can_be_read_is_what_it_says() -> None:
    assert decode(b'{"a": [1, null]}', ANYTHING) == {"a": [1, None]}
    assert decode(b"[1]", msgspec.json.Decoder(list[int])) == [1]


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "c": 2, "\\u0061": 3}}]'])
def test_a_field_that_stands_twice_is_refused_where_that_matters(body: bytes) -> None:
    with pytest.raises(UnreadableJsonError, match="the field 'a' stands twice in one object"):
        decode_unambiguous(body, ANYTHING)


@given(st.recursive(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), dictionaries_of))
def test_what_has_each_field_once_is_read(value: object) -> None:
    assert decode_unambiguous(msgspec.json.encode(value), ANYTHING) == value


def test_long_numbers_are_no_matter_of_fields() -> None:
    body = b'{"a": ' + b"1" * 5000 + b"}"
    assert decode_unambiguous(body, msgspec.json.Decoder(dict[str, msgspec.Raw])).keys() == {"a"}


@given(st.binary())
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    try:
        value = decode(body, ANYTHING)
    except UnreadableJsonError:
        return
    assert decode(msgspec.json.encode(value), ANYTHING) == value
