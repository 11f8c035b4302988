"""Opens the official Service Bus client for a pipeline's queue, and turns its errors into this project's."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from cloudscale.errors import BackendUnavailableError, ConfigurationError, CredentialError, OutcomeUnknownError
from cloudscale.queue.sdk_logs import forward_sdk_logs, is_broken_link, readable
from cloudscale.trust import client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cloudscale.pipeline import Queue
    from cloudscale.settings import Settings


NO_KEEP_ALIVE = 0
"""For a link that is not kept open while nothing happens on it. With a keep-alive the SDK reads from the link twice a
minute by itself, and closing the link waits up to a second for the task that does it."""

KEEP_ALIVE_SECONDS = 30
"""The SDK's own, for a link that may have to wait."""


@asynccontextmanager
async def open_client(spec: Queue, settings: Settings, *, retries: int = 3) -> AsyncIterator[ServiceBusClient]:
    """A client of the namespace that ``settings`` has a connection string for, or that ``spec.namespace`` names.

    Raises:
        ConfigurationError: there is neither, or the authority of the broker's certificate cannot be read.
    """
    forward_sdk_logs()
    host = broker_host(settings.servicebus_connection_string) or spec.namespace or ""
    trust = client_context(host, authority_file=settings.certificate_authority_file)
    options: dict[str, Any] = {"retry_total": retries, "ssl_context": trust}
    if settings.servicebus_connection_string:
        try:
            client = ServiceBusClient.from_connection_string(settings.servicebus_connection_string, **options)
        except ValueError as error:
            raise ConfigurationError(f"the Service Bus connection string cannot be used: {error}") from error
        async with client:
            yield client
    elif spec.namespace:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - large, and not needed with a key

        async with (
            DefaultAzureCredential() as credential,
            ServiceBusClient(spec.namespace, credential, **options) as client,
        ):
            yield client
    else:
        raise ConfigurationError(
            "no Service Bus namespace: set CLOUDSCALE_SERVICEBUS_CONNECTION_STRING, "
            "or spec.queue.namespace to use workload identity"
        )


def broker_host(connection_string: str) -> str:
    """The host that the SDK connects to with a connection string, empty if there is none in it."""
    host = ""
    for part in connection_string.split(";"):
        key, _, value = part.partition("=")
        # Like the SDK: whatever the case, by either name, and the last one counts.
        if key.strip().lower() in {"endpoint", "hostname"}:
            try:
                host = urlsplit(value.strip()).hostname or ""
            except ValueError:
                host = ""
    return host


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn what the SDK raises into this project's errors; ``action`` says what was tried ("send 3 messages").

    Raises:
        CredentialError: the broker refuses the credential.
        OutcomeUnknownError: no answer in time; what was asked may have happened.
        BackendUnavailableError: the broker cannot be reached or does not take the call now.
    """
    try:
        yield
    except (ServiceBusAuthenticationError, ServiceBusAuthorizationError, ClientAuthenticationError) as error:
        raise CredentialError(f"cannot {action}: the broker refuses the credential: {error}") from error
    except (OperationTimeoutError, TimeoutError) as error:
        raise OutcomeUnknownError(f"cannot {action}: no answer from the broker in time: {error}") from error
    except (ServiceBusError, OSError, AttributeError) as error:
        if isinstance(error, AttributeError) and not is_broken_link(error):
            raise
        raise BackendUnavailableError(f"cannot {action}: the broker cannot be used: {readable(str(error))}") from error
