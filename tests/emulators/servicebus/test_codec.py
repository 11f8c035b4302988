from __future__ import annotations

import string
from typing import Any

import pytest
from azure.servicebus._pyamqp import _decode as sdk_decode
from azure.servicebus._pyamqp import _encode as sdk_encode
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.codec import (
    Array,
    CodecError,
    Described,
    Integer,
    Symbol,
    Timestamp,
    UnsignedByte,
    UnsignedInteger,
    UnsignedLong,
    UnsignedShort,
    decode,
    encode,
)

SIGNED_64 = st.integers(-(2**63), 2**63 - 1)
SYMBOLS = st.text(string.ascii_letters + string.digits + ":-.$", max_size=300).map(Symbol)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    SIGNED_64,
    SIGNED_64.map(Timestamp),
    st.integers(0, 2**8 - 1).map(UnsignedByte),
    st.integers(0, 2**16 - 1).map(UnsignedShort),
    st.integers(0, 2**32 - 1).map(UnsignedInteger),
    st.integers(0, 2**64 - 1).map(UnsignedLong),
    st.integers(-(2**31), 2**31 - 1).map(Integer),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.binary(max_size=300),
    st.uuids(),
    SYMBOLS,
)


def nested(*, described: bool) -> st.SearchStrategy[Any]:
    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        containers: list[st.SearchStrategy[Any]] = [
            st.lists(inner, max_size=20),
            st.dictionaries(st.text(max_size=10), inner, max_size=20),
        ]
        if described:
            containers.append(st.builds(Described, st.integers(0, 2**64 - 1).map(UnsignedLong), inner))
        return st.one_of(containers)

    return st.recursive(SCALARS, extend, max_leaves=20)


VALUES = nested(described=True)


@given(VALUES)
def test_what_was_encoded_is_decoded(value: Any) -> None:
    data = encode(value)
    assert decode(data) == (value, len(data))


@given(st.lists(SIGNED_64).map(tuple))
def test_arrays_keep_their_items(items: tuple[int, ...]) -> None:
    decoded, _ = decode(encode(Array(int, items)))
    assert decoded.items == items


@given(nested(described=False))
def test_the_sdk_reads_what_we_write(value: Any) -> None:
    _, decoded = sdk_decode._decode_list_large(memoryview(b"\0\0\0\0\0\0\0\x01" + encode(value)))
    assert as_sdk(decoded[0]) == as_sdk(value)


@given(
    st.one_of(
        st.none(), st.booleans(), st.text(max_size=300), st.binary(max_size=300), st.integers(-(2**31), 2**31 - 1)
    )
)
def test_we_read_what_the_sdk_writes(value: Any) -> None:
    data = bytearray()
    sdk_encode.encode_value(data, value)
    assert decode(bytes(data)) == (value, len(data))


@given(VALUES, st.data())
def test_a_value_that_ends_early_is_an_error(value: Any, data: st.DataObject) -> None:
    encoded = encode(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CodecError):
        decode(encoded[:cut])


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_a_value_or_a_codec_error(data: bytes) -> None:
    try:
        _, end = decode(data)
    except CodecError:
        return
    assert 0 < end <= len(data)


def test_a_value_without_encoding_is_an_error() -> None:
    with pytest.raises(CodecError, match="set has no AMQP encoding"):
        encode({1})


def test_a_number_too_large_for_its_width_is_an_error() -> None:
    with pytest.raises(CodecError, match="does not fit"):
        encode(Integer(2**40))


def test_deep_nesting_is_an_error() -> None:
    value: list[Any] = []
    for _ in range(100):
        value = [value, None]
    with pytest.raises(CodecError, match="deeper"):
        decode(encode(value))


def as_sdk(value: Any) -> Any:
    """Bring a value to the form of the SDK's decoder, which keeps strings and symbols as bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [as_sdk(item) for item in value]
    if isinstance(value, dict):
        return {as_sdk(key): as_sdk(item) for key, item in value.items()}
    return value
