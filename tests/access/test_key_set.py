"""Which keys of an issuer are taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.signing import EC, ED, KEYS, RSA, STRANGE
from tests.servers.token_issuer import base64url, number, public_jwk, rsa_key

from cloudscale.access.key_set import KeySet, UnusableKeySetError, read_key_set

BYTES = st.binary(max_size=64).map(base64url) | st.text(max_size=20)


def keys_of(*members: dict[str, Any]) -> KeySet:
    return read_key_set(json.dumps({"keys": members}).encode())


def test_a_key_is_found_by_its_name_and_algorithm() -> None:
    keys = keys_of(public_jwk(RSA, kid="a"), public_jwk(EC, kid="b"), public_jwk(ED, kid="c"))

    for name, algorithm in (("a", "RS256"), ("b", "ES256"), ("c", "EdDSA")):
        found = keys.find(name, algorithm)
        assert found is not None
        assert (found.id, found.algorithm) == (name, algorithm)
    assert keys.find("a", "ES256") is None
    assert keys.find(None, "RS256") is None


def test_only_keys_for_the_algorithms_that_are_taken_are_kept() -> None:
    keys = keys_of(*KEYS)

    assert len(keys) == 3


def test_the_only_key_needs_no_name() -> None:
    keys = keys_of(public_jwk(RSA), *(key for key in KEYS if key["kid"] in {"short", "encryption"}))

    assert keys.find(None, "RS256") is not None
    assert keys.find(None, "ES256") is None


def test_the_first_of_two_keys_of_one_name_counts() -> None:
    found = keys_of(public_jwk(RSA, kid="a"), public_jwk(STRANGE, kid="a")).find("a", "RS256")

    assert found is not None
    assert found.material == keys_of(public_jwk(RSA)).find(None, "RS256").material  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "changed",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"alg": None},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kid": 1},
        {"kid": ""},
        {"kid": "k" * 257},
        {"kty": "oct"},
        {"kty": ["RSA"]},
        {"crv": "P-256"},
        {"n": ""},
        {"n": "not base64url!"},
        {"n": 7},
        pytest.param({"n": number(RSA.public_key().public_numbers().n >> 1, 256)}, id="n of 2047 bits"),
        {"e": number(2**32 + 1, 5)},
        {"e": number(4, 1)},
        {"e": ""},
    ],
    ids=lambda changed: str(changed)[:40],
)
def test_an_unsound_key_is_left_out_and_the_others_stay(changed: dict[str, Any]) -> None:
    keys = keys_of(public_jwk(RSA, kid="a") | changed, public_jwk(EC, kid="b"))

    assert len(keys) == 1
    assert keys.find("b", "ES256") is not None


def test_a_key_of_9000_bits_is_left_out() -> None:
    huge = public_jwk(RSA, kid="a") | {"n": number((1 << 9000) + 1, 1126)}

    assert len(keys_of(huge)) == 0


def test_a_point_that_is_not_on_the_curve_is_left_out() -> None:
    assert len(keys_of(public_jwk(EC, kid="a") | {"y": number(1, 32)})) == 0


def test_the_private_part_of_a_key_is_not_read() -> None:
    found = keys_of(public_jwk(RSA, kid="a", d="AQAB", p="AQAB")).find("a", "RS256")

    assert found is not None
    assert not found.key.is_private


def test_the_same_keys_in_another_order_are_the_same_keys() -> None:
    keys = keys_of(*KEYS)

    assert keys.has_the_keys_of(keys_of(*reversed(KEYS)))
    assert not keys.has_the_keys_of(keys_of(*KEYS[1:]))
    assert not keys.has_the_keys_of(keys_of(public_jwk(rsa_key("other"), kid="rsa"), *KEYS[1:]))


@given(
    member=st.fixed_dictionaries(
        {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"])},
        optional={
            "crv": st.sampled_from(["P-256", "Ed25519", "X25519", "P-384"]),
            **dict.fromkeys(("n", "e", "x", "y"), BYTES),
        },
    )
)
def test_no_key_breaks_the_reading(member: dict[str, Any]) -> None:
    assert len(keys_of(member, public_jwk(EC, kid="sound"))) >= 1


@given(body=st.binary(max_size=200))
def test_no_document_breaks_the_reading(body: bytes) -> None:
    with pytest.raises(UnusableKeySetError):
        read_key_set(body)
