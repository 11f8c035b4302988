"""Requests to Cosmos DB are authorised as the official client does it."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
from azure.core.credentials import AccessToken
from azure.cosmos import auth
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.errors import ConfigurationError
from cloudscale.store.authorization import EntraToken, KeySignature

if TYPE_CHECKING:
    from typing import Self

DATE = "Sat, 28 Nov 2026 18:27:24 GMT"


class Account:
    """What the SDK's signing reads of its client."""

    def __init__(self, key: str) -> None:
        self.master_key = key
        self.resource_tokens = None


@given(key=st.binary(min_size=1, max_size=80), database=st.text(min_size=1), container=st.text(min_size=1))
async def test_a_signature_is_the_sdk_s(key: bytes, database: str, container: str) -> None:
    text, link = base64.b64encode(key).decode(), f"dbs/{database}/colls/{container}"
    expected = auth._get_authorization_header(  # type: ignore[no-untyped-call]
        Account(text),
        "post",
        f"/{link}/docs/",
        link,
        is_name_based=True,
        resource_type="docs",
        headers={"x-ms-date": DATE},
    )

    signature = KeySignature(text, verb="post", resource_type="docs", link=link)

    assert unquote(await signature.header(DATE)) == expected
    assert await signature.header(DATE) == quote(expected, safe="-_.!~*'()")


async def test_another_second_has_another_signature() -> None:
    signature = KeySignature("a2V5", verb="post", resource_type="docs", link="dbs/a/colls/b")

    first = await signature.header(DATE)

    assert await signature.header(DATE.replace("24 GMT", "25 GMT")) != first
    assert await signature.header(DATE) == first


def test_a_key_that_is_no_base64_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no Base64"):
        KeySignature("no key!", verb="post", resource_type="docs", link="dbs/a/colls/b")


class Identity:
    """Gives a new token for each call, which lasts for ``seconds``."""

    def __init__(self, seconds: int) -> None:
        self.scopes: list[str] = []
        self._seconds = seconds

    async def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.scopes += scopes
        return AccessToken(f"token-{len(self.scopes)}", int(time.time()) + self._seconds)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_token_serves_until_shortly_before_its_end() -> None:
    lasting, ending = Identity(3600), Identity(200)
    kept, replaced = EntraToken(lasting, scope="https://a/.default"), EntraToken(ending, scope="https://a/.default")

    assert [await kept.header(DATE) for _ in range(2)] == ["type%3Daad%26ver%3D1.0%26sig%3Dtoken-1"] * 2
    assert [await replaced.header(DATE) for _ in range(2)] == [
        f"type%3Daad%26ver%3D1.0%26sig%3Dtoken-{number}" for number in (1, 2)
    ]
    assert lasting.scopes == ["https://a/.default"]
