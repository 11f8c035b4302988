"""Events that are sent with tokens of an issuer of OpenID Connect."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.access.signing import KEYS, STRANGE, claims, token
from tests.ingestion.client import Client, bearer, nobodys, page_view
from tests.ingestion.queue_contents import queue_contents
from tests.servers.access_directory import administration_of
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.servers.token_issuer import TokenIssuerServer, signed_token, token_issuer

from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.cosmos import CosmosServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

NAME = "with-tokens"
QUEUE = "with-tokens-events"


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuerServer]:
    with token_issuer(list(KEYS)) as server:
        yield server


@pytest.fixture(scope="module")
def absent_issuer() -> str:
    """Where nobody answers."""
    (port,) = find_free_ports("127.0.0.1", 1)
    return f"http://127.0.0.1:{port}"


async def create_tenants(store: CosmosServer, cache: RedisServer) -> None:
    async with administration_of(NAME, store=store, cache=cache) as administration:
        for tenant in ("acme", "disabled"):
            await administration.create_tenant(tenant)
        await administration.change_tenant("disabled", disabled=True)


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory,
    broker: ServiceBusServer,
    cache_server: RedisServer,
    store: CosmosServer,
    issuer: TokenIssuerServer,
    absent_issuer: str,
) -> Iterator[Client]:
    asyncio.run(create_tenants(store, cache_server))
    issuers = [{"issuer": url, "audiences": ["cloudscale"]} for url in (issuer.url, absent_issuer)]
    spec = {
        "queue": {"name": QUEUE},
        "ingestion": {"rateLimits": UNLIMITED},
        "access": {"mode": "Required", "tokens": issuers},
    }
    directory = tmp_path_factory.mktemp("with-tokens")
    with ingestion_server(directory, broker=broker, cache=cache_server, spec=spec, name=NAME, store=store) as server:
        yield Client(server.port)


@pytest.fixture(scope="module")
def queue(client: Client, broker: ServiceBusServer) -> Iterator[QueueContents]:
    with queue_contents(broker, QUEUE) as contents:
        yield contents


def fresh(**changed: Any) -> dict[str, Any]:
    """Claims that hold now, on this machine's clock."""
    now = int(time.time())
    return {"iat": now, "nbf": now, "exp": now + 600, **changed}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_an_event_gets_the_tenant_of_its_token(
    algorithm: str, client: Client, queue: QueueContents, issuer: TokenIssuerServer
) -> None:
    headers = bearer(token(issuer.url, algorithm, **fresh()))

    assert client.post(nobodys(), headers).status == 202
    assert client.post(nobodys(), headers).status == 202, "a token that is known is not taken"
    assert [event["tenantId"] for event in queue.drain()] == ["acme", "acme"]


def test_an_event_of_another_tenant_than_the_tokens_is_refused(client: Client, issuer: TokenIssuerServer) -> None:
    answer = client.post(page_view(tenantId="contoso"), bearer(token(issuer.url, **fresh())))

    assert (answer.status, answer.json()["errors"][0]["pointer"]) == (403, "/tenantId")


def test_a_token_that_does_not_hold_is_answered_with_a_challenge(client: Client, issuer: TokenIssuerServer) -> None:
    answer = client.post(nobodys(), bearer(token(issuer.url, **fresh(exp=1))))

    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"] == 'Bearer realm="cloudscale", error="invalid_token"'
    assert answer.json()["detail"] == "the token has expired: get another one from its issuer"


def test_what_is_neither_key_nor_token_is_answered_so(client: Client) -> None:
    answer = client.post(nobodys(), bearer("nonsense"))

    assert answer.status == 401
    assert answer.json()["detail"].startswith("this is neither a key, which begins with cs_, nor a token")


def test_a_token_without_the_scope_to_send_is_refused(client: Client, issuer: TokenIssuerServer) -> None:
    answer = client.post(nobodys(), bearer(token(issuer.url, **fresh(scope="events:read admin"))))

    assert answer.status == 403
    assert 'error="insufficient_scope", scope="events:write"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("tenant", ["invented", "disabled"])
def test_a_token_of_a_tenant_that_may_not_send_is_refused(
    tenant: str, client: Client, issuer: TokenIssuerServer
) -> None:
    assert client.post(nobodys(), bearer(token(issuer.url, **fresh(tenant_id=tenant)))).status == 403


def test_a_strangers_signature_is_refused(client: Client, issuer: TokenIssuerServer) -> None:
    forged = signed_token({"alg": "RS256", "kid": "rsa"}, claims(issuer.url, **fresh()), STRANGE)

    assert client.post(nobodys(), bearer(forged)).status == 401


def test_while_an_issuer_was_never_reached_its_tokens_may_be_sent_again(client: Client, absent_issuer: str) -> None:
    answer = client.post(nobodys(), bearer(token(absent_issuer, **fresh())))

    assert (answer.status, answer.json()["detail"]) == (
        503,
        f"the issuer {absent_issuer} cannot be asked for its keys now: send the request again later",
    )
    assert int(answer.headers["retry-after"]) > 0


def test_a_token_of_8_kilobytes_is_taken_and_a_longer_one_is_not(
    client: Client, queue: QueueContents, issuer: TokenIssuerServer
) -> None:
    def padded(characters: int) -> str:
        return token(issuer.url, **fresh(padding="x" * characters))

    assert 8000 < len(padded(5550)) <= 8192
    assert client.post(nobodys(), bearer(padded(5550))).status == 202
    queue.drain()

    assert client.post(nobodys(), bearer(padded(5750))).status == 401
