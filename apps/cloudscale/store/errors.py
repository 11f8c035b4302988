"""What Cosmos DB's SDK raises, as this project's errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from cloudscale.errors import BackendError, BackendUnavailableError, CredentialError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_RETRY_SECONDS = 1.0

RESPONSES = (CosmosHttpResponseError, CosmosBatchOperationError)
"""An answer that is not a success; the SDK has another class for that of a transactional batch."""


class RequestRefusedError(BackendError):
    """The store refused the request itself (4xx): the same request fails again, others may pass.

    ``status`` is the HTTP status code.
    """

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class StoreFailureError(BackendUnavailableError):
    """The store was reached and failed with 500, which may be the store's fault or that of what was asked."""


class MissingContainerError(BackendUnavailableError):
    """The database or container is not there (404): somebody has deleted it, and no document is to blame."""


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn what the SDK raises into this project's errors; ``action`` says what was tried ("write 50 events").

    Raises:
        ThrottledError: 429, with the delay that the store asked for.
        CredentialError: 401 or 403.
        MissingContainerError: 404; whoever asks for an item that may be absent handles its 404 within.
        RequestRefusedError: another 4xx that blames the request.
        StoreFailureError: 500.
        BackendUnavailableError: everything else that blames the store or the way to it.
    """
    try:
        yield
    except RESPONSES as error:
        raise from_response(action, error) from error
    except ClientAuthenticationError as error:
        raise CredentialError(f"cannot {action}: no token for the store: {first_line(error)}") from error
    except (AzureError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BackendUnavailableError(f"cannot {action}: the store cannot be reached: {first_line(error)}") from error


def from_response(action: str, error: CosmosHttpResponseError | CosmosBatchOperationError) -> BackendError:
    """The error that a response's status code means."""
    status = error.status_code or 0
    text = f"cannot {action}: the store answered {status}: {first_line(error)}"
    if status == 429:
        return ThrottledError(text, retry_after_seconds=retry_after_seconds(error))
    if status in {401, 403}:
        return CredentialError(f"{text}; check the connection string, or the role of the workload identity")
    if status == 404:
        return MissingContainerError(f"{text}; a worker creates the containers anew when it writes")
    if 400 <= status < 500 and status not in {408, 410, 449}:
        return RequestRefusedError(text, status=status)
    if status == 500:
        return StoreFailureError(text)
    return BackendUnavailableError(text)


def retry_after_seconds(error: CosmosHttpResponseError | CosmosBatchOperationError) -> float:
    """The delay that a 429 asks for."""
    milliseconds = (error.headers or {}).get("x-ms-retry-after-ms")
    try:
        return float(milliseconds) / 1000 if milliseconds is not None else DEFAULT_RETRY_SECONDS
    except ValueError:
        return DEFAULT_RETRY_SECONDS


def first_line(error: BaseException) -> str:
    """An SDK's error in one line of bounded length; some carry the whole response."""
    return (str(error) or type(error).__name__).split("\n", 1)[0][:300]
