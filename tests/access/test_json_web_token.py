"""The form of tokens: what is written can be read, and nothing else can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.servers.token_issuer import base64url, unsigned

from cloudscale.access.caller import NotAuthenticatedError
from cloudscale.access.json_web_token import ALGORITHMS, MOST_CHARACTERS, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    key_id=TEXT.filter(bool) | st.none(),
    claims=st.dictionaries(TEXT, VALUES, max_size=4),
    signature=st.binary(min_size=1, max_size=64),
)
def test_a_token_is_read_as_it_was_written(
    algorithm: str, key_id: str | None, claims: dict[str, Any], signature: bytes
) -> None:
    header = {"alg": algorithm} | ({"kid": key_id} if key_id else {})
    text = unsigned(header, claims)

    token = parse(f"{text}.{base64url(signature)}")

    assert (token.algorithm, token.key_id, token.claims) == (algorithm, key_id, claims)
    assert (token.signed, token.signature) == (text.encode(), signature)


@given(text=st.text(max_size=100) | st.text("AZaz09_-.=", max_size=100))
def test_no_text_breaks_the_reading(text: str) -> None:
    with pytest.raises(NotAuthenticatedError):
        parse(text)


@given(header=st.binary(max_size=60), payload=st.binary(max_size=60))
def test_no_bytes_in_a_tokens_parts_break_the_reading(header: bytes, payload: bytes) -> None:
    with pytest.raises(NotAuthenticatedError):
        parse(f"{base64url(header)}.{base64url(payload)}.AAAA")


def test_a_token_of_8192_characters_is_read_and_a_longer_one_is_not() -> None:
    text = unsigned({"alg": "EdDSA"}, {"a": 12}) + "."
    longest = text + "A" * (MOST_CHARACTERS - len(text))

    assert len(longest) == 8192
    assert parse(longest).algorithm == "EdDSA"
    with pytest.raises(NotAuthenticatedError, match="more than 8192"):
        parse(longest + "AAAA")
