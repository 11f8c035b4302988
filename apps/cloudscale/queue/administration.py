"""The queue's management: creating it as the resource says, and reading how deep it is."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.servicebus.aio.management import ServiceBusAdministrationClient

from cloudscale.errors import BackendUnavailableError, ConfigurationError, CredentialError
from cloudscale.queue.connection import broker_host
from cloudscale.trust import client_context
from cloudscale.units import parse_duration, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from azure.core.credentials_async import AsyncTokenCredential

    from cloudscale.pipeline import Queue
    from cloudscale.settings import Settings

Answer = TypeVar("Answer")

CALL_SECONDS = 10.0
BYTES_IN_MEGABYTE = 1024 * 1024


class QueueDepth(msgspec.Struct, frozen=True):
    """How many messages are in a queue; locked ones count as active."""

    active: int
    dead_letters: int
    scheduled: int


class QueueAdministration:
    """Calls of the HTTPS management API for one queue, as an async context manager.

    Without a connection string it shows tokens of ``credential``, which its owner closes, or else of the process's own
    identity.
    """

    def __init__(self, spec: Queue, settings: Settings, *, credential: AsyncTokenCredential | None = None) -> None:
        self._spec = spec
        self._settings = settings
        self._credential = credential
        self._resources = AsyncExitStack()
        self._client: ServiceBusAdministrationClient

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            client = await self._made(resources)
            self._client = await resources.enter_async_context(client)
            self._resources = resources.pop_all()
        return self

    async def _made(self, resources: AsyncExitStack) -> ServiceBusAdministrationClient:
        text = _managed(self._settings.servicebus_connection_string, self._settings.servicebus_management_url)
        host = broker_host(text) or self._spec.namespace or ""
        options: dict[str, Any] = {"retry_total": 0, "transport": await self._transport(host, resources)}
        if text:
            try:
                return ServiceBusAdministrationClient.from_connection_string(text, **options)
            except ValueError as error:
                raise ConfigurationError(f"the Service Bus connection string cannot be used: {error}") from error
        if not self._spec.namespace:
            raise ConfigurationError(
                "no Service Bus namespace: set CLOUDSCALE_SERVICEBUS_CONNECTION_STRING, "
                "or spec.queue.namespace to use workload identity"
            )
        credential = self._credential
        if credential is None:
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - large, and not needed with a key

            own = DefaultAzureCredential()
            await resources.enter_async_context(own)
            credential = own
        return ServiceBusAdministrationClient(self._spec.namespace, credential, **options)

    async def _transport(self, host: str, resources: AsyncExitStack) -> AioHttpTransport:
        # The SDK's own transport takes a file of authorities in place of the public ones, but no context.
        trust = client_context(host, authority_file=self._settings.certificate_authority_file)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )
        await resources.enter_async_context(session)
        return AioHttpTransport(
            session=session, session_owner=False, connection_timeout=CALL_SECONDS, read_timeout=CALL_SECONDS
        )

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def ensure_queue(self) -> bool:
        """Create the queue if it is absent; whether it was.

        Raises:
            CredentialError: the credential may neither read nor create it.
            BackendUnavailableError: the management API cannot be reached.
        """
        try:
            await self._call("look for", self._client.get_queue(self._spec.name))
        except ResourceNotFoundError:
            pass
        else:
            return False
        try:
            await self._call(
                "create",
                self._client.create_queue(
                    self._spec.name,
                    lock_duration=parse_duration(self._spec.lock_duration),
                    max_delivery_count=self._spec.max_delivery_count,
                    max_size_in_megabytes=int(parse_quantity(self._spec.max_size) // BYTES_IN_MEGABYTE),
                    default_message_time_to_live=parse_duration(self._spec.time_to_live),
                    dead_lettering_on_message_expiration=True,
                ),
            )
        except ResourceExistsError:
            return False
        return True

    async def depth(self) -> QueueDepth:
        """Read how many messages the queue holds.

        Raises:
            CredentialError, BackendUnavailableError: it cannot be read.
        """
        try:
            properties = await self._call("read", self._client.get_queue_runtime_properties(self._spec.name))
        except ResourceNotFoundError:
            raise BackendUnavailableError(
                f"the queue {self._spec.name} does not exist: start ingestion, which creates it, or create it yourself"
            ) from None
        return QueueDepth(
            active=properties.active_message_count or 0,
            dead_letters=properties.dead_letter_message_count or 0,
            scheduled=properties.scheduled_message_count or 0,
        )

    async def _call(self, action: str, call: Awaitable[Answer]) -> Answer:
        what = f"cannot {action} the queue {self._spec.name}"
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call
        except (ResourceNotFoundError, ResourceExistsError):
            raise
        except ClientAuthenticationError as error:
            raise CredentialError(f"{what}: the management API refuses the credential: {error}") from error
        except (ServiceRequestError, ServiceResponseError, HttpResponseError, TimeoutError) as error:
            raise BackendUnavailableError(f"{what}: the management API does not answer: {error}") from error


def _managed(connection_string: str, management_url: str) -> str:
    """The connection string with the management API's own address; the SDK takes host and port from there."""
    if not management_url or not connection_string:
        return connection_string
    host = urlsplit(management_url).netloc
    parts = [part for part in connection_string.split(";") if part and not part.lower().startswith("endpoint=")]
    return ";".join([f"Endpoint=sb://{host}/", *parts])
