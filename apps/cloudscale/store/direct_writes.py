"""Creates documents in transactional batches by Cosmos DB's REST protocol, without the SDK's work around each call.

Only success is taken from here. Whatever else the service answers, the same batch is given to the SDK, which knows
regions, throttling, sessions and errors; a batch of creates can be repeated, since ids that are there are recognised.
So this is a short way for what nearly always happens, and no second client.

The request is documented as transactional batch operations, its headers by
https://learn.microsoft.com/rest/api/cosmos-db/common-cosmosdb-rest-request-headers.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import asynccontextmanager
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from cloudscale.errors import ConfigurationError
from cloudscale.store.authorization import EntraToken, KeySignature
from cloudscale.store.client import CONNECT_SECONDS, READ_SECONDS, open_session, parse_connection_string

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.authorization import Authorization
    from cloudscale.store.batches import Batch

API_VERSION: Final = "2020-07-15"
REQUEST_CHARGE: Final = "x-ms-request-charge"

_HEADERS: Final = {
    "x-ms-version": API_VERSION,
    "x-ms-cosmos-is-batch-request": "True",
    "x-ms-cosmos-batch-atomic": "True",
    "x-ms-cosmos-batch-continue-on-error": "False",
    "Prefer": "return=minimal",
    "Content-Type": "application/json",
    "Accept": "application/json",
}
_BEGIN: Final = b'{"operationType":"Create","resourceBody":'

_encode = msgspec.json.Encoder().encode


class DirectWrites:
    """Creates documents in one container.

    Args:
        session: what connects to the account.
        url: of the container's documents.
        authorization: for POST requests to them.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, authorization: Authorization) -> None:
        self._session = session
        self._url = url
        self._authorization = authorization
        self._second = 0
        self._date = ""

    async def create(self, batch: Batch) -> float | None:
        """Create all documents of the batch in one transaction.

        Returns:
            The request units that it took; None if it has to be asked by the SDK, because the service answered
            anything but success, was not reached, or a document has what only the SDK can write.

        Raises:
            AzureError: there is no token.
            aiohttp.ClientError, TimeoutError: the connection broke, or no answer in time; the batch may be written.
        """
        try:
            body = b"[%b]" % b",".join([b"%b%b}" % (_BEGIN, _encode(document)) for document in batch.documents])
        except UnicodeEncodeError:
            return None
        date = self._now()
        headers = {
            **_HEADERS,
            "x-ms-documentdb-partitionkey": json.dumps([batch.partition_key]),
            "x-ms-activity-id": str(uuid.uuid4()),
            "x-ms-date": date,
            "authorization": await self._authorization.header(date),
        }
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
            return None
        if answer.status != HTTPStatus.OK:
            return None
        return float(answer.headers.get(REQUEST_CHARGE, 0))

    def _now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True)
        return self._date


@asynccontextmanager
async def open_direct_writes(spec: Store, settings: Settings, *, container: str) -> AsyncIterator[DirectWrites]:
    """Direct writes to a container of the account that :func:`cloudscale.store.client.open_client` opens.

    Raises:
        ConfigurationError: there is no account, or its key or authority cannot be used.
    """
    link = f"dbs/{spec.database}/colls/{container}"
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    async with open_session(spec, settings, timeout=timeout) as session:
        if settings.cosmos_connection_string:
            endpoint, key = parse_connection_string(settings.cosmos_connection_string)
            authorization = KeySignature(key, verb="post", resource_type="docs", link=link)
            yield DirectWrites(session, url_of(endpoint, link), authorization)
        elif spec.endpoint:
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - large, and not needed with a key

            scope = f"https://{urlsplit(spec.endpoint).hostname}/.default"
            async with DefaultAzureCredential() as credential:
                yield DirectWrites(session, url_of(spec.endpoint, link), EntraToken(credential, scope=scope))
        else:
            raise ConfigurationError("no Cosmos DB account to write to")


def url_of(endpoint: str, link: str) -> str:
    """Where the documents of a container are."""
    return f"{endpoint.rstrip('/')}/{quote(link)}/docs/"
