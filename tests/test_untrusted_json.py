from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.untrusted_json import ANYTHING, UnreadableJsonError, decode

TOO_DEEP = b"[" * 100_000 + b"]" * 100_000


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


@given(st.binary())
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    try:
        value = decode(body, ANYTHING)
    except UnreadableJsonError:
        return
    assert decode(msgspec.json.encode(value), ANYTHING) == value
