from __future__ import annotations

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.errors import BackendError, BackendUnavailableError, CredentialError, ThrottledError
from cloudscale.store.errors import MissingContainerError, RequestRefusedError, StoreFailureError, translated


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RequestRefusedError),
        (401, CredentialError),
        (403, CredentialError),
        (404, MissingContainerError),
        (408, BackendUnavailableError),
        (413, RequestRefusedError),
        (429, ThrottledError),
        (449, BackendUnavailableError),
        (500, StoreFailureError),
        (503, BackendUnavailableError),
    ],
)
def test_a_status_code_says_who_is_to_blame(status: int, expected: type[BackendError]) -> None:
    with pytest.raises(expected, match=f"cannot write: the store answered {status}") as raised, translated("write"):
        raise CosmosHttpResponseError(status_code=status, message="why")  # type: ignore[no-untyped-call]
    assert type(raised.value) is expected


@pytest.mark.parametrize("error", [ServiceRequestError("refused"), TimeoutError(), ConnectionResetError()])
def test_a_broken_connection_blames_the_way_to_the_store(error: Exception) -> None:
    with pytest.raises(BackendUnavailableError, match="cannot be reached"), translated("write"):
        raise error
