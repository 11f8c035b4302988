"""Opens the official Cosmos DB client for a pipeline's store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import CosmosClient

from cloudscale.errors import ConfigurationError
from cloudscale.store.errors import translated
from cloudscale.trust import client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings

CONNECTIONS = 64
"""At the most; a worker's concurrency limit and the passes over its profiles stay below it by default."""

CONNECT_SECONDS = 5
READ_SECONDS = 15


@asynccontextmanager
async def open_client(spec: Store, settings: Settings) -> AsyncIterator[CosmosClient]:
    """A client of the account that ``settings`` has a connection string for, or that ``spec.endpoint`` names.

    The SDK's own retries are kept short, since the callers retry with a circuit breaker and must see each failure.

    Raises:
        ConfigurationError: there is neither a usable connection string nor an endpoint, or the authority of the
            account's certificate cannot be read.
        BackendUnavailableError, CredentialError: the account cannot be read.
    """
    session = open_session(spec, settings)
    options: dict[str, Any] = {
        "transport": AioHttpTransport(session=session, session_owner=True),
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retry_total": 1,
        "retry_connect": 0,
        "retry_read": 0,
        "retry_throttle_total": 1,
        "no_response_on_write": True,
        "enable_compact_utf8_item_writes": True,
    }
    try:
        async with _account(spec, settings, options) as client:
            yield client
    finally:
        await session.close()


def open_session(spec: Store, settings: Settings, **options: Any) -> aiohttp.ClientSession:
    """What connects to the account; the caller closes it. ``options`` are aiohttp's.

    Raises:
        ConfigurationError: the endpoint is no URL, or the authority of the account's certificate cannot be read.
    """
    # The SDK's own ssl_config cannot name an authority without a client certificate, so the connector trusts it.
    trust = client_context(_host(spec, settings), authority_file=settings.certificate_authority_file)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trust),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        **options,
    )


def _host(spec: Store, settings: Settings) -> str:
    endpoint = spec.endpoint or ""
    if settings.cosmos_connection_string:
        endpoint, _ = parse_connection_string(settings.cosmos_connection_string)
    try:
        return urlsplit(endpoint).hostname or ""
    except ValueError as error:
        raise ConfigurationError(f"the endpoint of the Cosmos DB account, {endpoint}, is no URL: {error}") from error


@asynccontextmanager
async def _account(spec: Store, settings: Settings, options: dict[str, Any]) -> AsyncIterator[CosmosClient]:
    if settings.cosmos_connection_string:
        endpoint, key = parse_connection_string(settings.cosmos_connection_string)
        async with _opened(CosmosClient(endpoint, key, **options)) as client:
            yield client
    elif spec.endpoint:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - large, and not needed with a key

        async with (
            DefaultAzureCredential() as credential,
            _opened(CosmosClient(spec.endpoint, credential, **options)) as client,
        ):
            yield client
    else:
        raise ConfigurationError(
            "no Cosmos DB account: set CLOUDSCALE_COSMOS_CONNECTION_STRING, "
            "or spec.store.endpoint to use workload identity"
        )


@asynccontextmanager
async def _opened(client: CosmosClient) -> AsyncIterator[CosmosClient]:
    with translated("open the Cosmos DB account"):
        await client.__aenter__()
    try:
        yield client
    finally:
        await client.close()


def parse_connection_string(text: str) -> tuple[str, str]:
    """Endpoint and key of a Cosmos DB connection string (``AccountEndpoint=…;AccountKey=…;``).

    Raises:
        ConfigurationError: one of the two is missing.
    """
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    try:
        return parts["AccountEndpoint"], parts["AccountKey"]
    except KeyError as error:
        raise ConfigurationError(f"the Cosmos DB connection string has no {error.args[0]}") from None
