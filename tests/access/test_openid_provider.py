"""The provider that tests sign in with: it is as strict as a provider of the real world."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import pytest
from tests.servers.openid_provider import OpenIdProvider, openid_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIRECT = "http://localhost:1/callback"
VERIFIER = "v" * 43


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with openid_provider(tmp_path_factory.mktemp("openid")) as server:
        yield server


def authorization_url(provider: OpenIdProvider, **changed: str) -> str:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    parameters = {
        "client_id": "dashboard",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "openid",
        "state": "the-state",
        "nonce": "the-nonce",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    return f"{provider.issuer}/oauth2/authorize?{urlencode(parameters | changed)}"


def exchange(provider: OpenIdProvider, code: str, verifier: str) -> dict[str, str]:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "client_id": "dashboard"}
    body = urlencode(form | {"client_secret": "any", "code_verifier": verifier}).encode()
    with urlopen(f"{provider.issuer}/oauth2/token", body, timeout=10) as response:  # noqa: S310 - it is our own
        tokens: dict[str, str] = json.load(response)
        return tokens


def test_who_signs_in_gets_an_id_token_with_the_claims_that_were_set(provider: OpenIdProvider) -> None:
    provider.set_claims("ann", {"groups": ["operators"]})

    back = parse_qs(urlsplit(provider.sign_in(authorization_url(provider), "ann")).query)
    payload = exchange(provider, back["code"][0], VERIFIER)["id_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    assert back["state"] == ["the-state"]
    assert (claims["iss"], claims["sub"], claims["groups"]) == (provider.issuer, "ann", ["operators"])
    assert (claims["aud"], claims["nonce"]) == (["dashboard"], "the-nonce")


def test_a_code_is_worth_nothing_with_another_verifier(provider: OpenIdProvider) -> None:
    (code,) = parse_qs(urlsplit(provider.sign_in(authorization_url(provider), "ann")).query)["code"]

    with pytest.raises(HTTPError, match="400"):
        exchange(provider, code, "w" * 43)


def test_a_sign_in_without_a_challenge_is_refused(provider: OpenIdProvider) -> None:
    with pytest.raises(AssertionError, match="code_challenge is missing"):
        provider.sign_in(authorization_url(provider, code_challenge=""), "ann")
