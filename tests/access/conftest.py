"""A directory of one's own for each test, issuers of tokens, and a verifier that takes those of both."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from tests.access.signing import KEYS, Clock, resource
from tests.servers.token_issuer import TokenIssuerServer, public_jwk, rsa_key, token_issuer

from cloudscale.access.administration import Administration
from cloudscale.access.container import AccessContainer, open_access
from cloudscale.access.shared_cache import SharedCache
from cloudscale.access.tokens import TokenVerifier
from cloudscale.cache.keys import Keys
from cloudscale.pipeline import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

    from cloudscale.settings import Settings


@pytest.fixture
def spec() -> Store:
    return Store(database="Access", container=f"c{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def container(spec: Store, settings: Settings) -> AsyncIterator[AccessContainer]:
    """Empty, and not there before somebody creates a tenant."""
    async with open_access(spec, settings) as opened:
        yield opened


@pytest.fixture
def cache(redis: Redis) -> SharedCache:
    return SharedCache(redis, keys=Keys(namespace="default", name="test"))


@pytest.fixture
def administration(container: AccessContainer, cache: SharedCache) -> Administration:
    return Administration(container, cache)


@pytest.fixture
def issuer() -> Iterator[TokenIssuerServer]:
    with token_issuer(list(KEYS)) as server:
        yield server


@pytest.fixture
def other_issuer() -> Iterator[TokenIssuerServer]:
    """An issuer with one key, which calls it as nobody else does."""
    with token_issuer([public_jwk(rsa_key("other"), kid="other")]) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def verifier(
    issuer: TokenIssuerServer, other_issuer: TokenIssuerServer, clock: Clock
) -> AsyncIterator[TokenVerifier]:
    async with TokenVerifier([resource(issuer), resource(other_issuer)], clock=clock) as verifier:
        yield verifier
