"""What the emulator answers when it cannot do what was asked.

Status codes and sub-status codes are those of the service (REST reference, "HTTP status codes for Azure Cosmos DB"):
SDKs decide by them whether to retry, to refresh a cache or to raise.
"""

import sqlite3
from http import HTTPStatus
from typing import Final

from cloudscale.errors import CloudScaleError

PARTITION_KEY_MISMATCH: Final = 1001
OWNER_NOT_FOUND: Final = 1003
CROSS_PARTITION_NOT_SERVABLE: Final = 1004
CONTAINER_RECREATED: Final = 1024
PARTITION_RANGE_GONE: Final = 1002
REQUEST_RATE_TOO_LARGE: Final = 3200

_CODES: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


class CosmosError(CloudScaleError):
    """A refusal in the service's own terms: ``status`` and ``substatus`` are what SDKs look at."""

    def __init__(self, status: int, message: str, *, substatus: int = 0) -> None:
        self.status = status
        self.message = message
        self.substatus = substatus
        super().__init__(message)

    @property
    def code(self) -> str:
        """The service's name for the status, such as ``NotFound``."""
        return _CODES.get(self.status) or HTTPStatus(self.status).phrase


class ThrottledRequestError(CosmosError):
    """429: the request rate is too large. The client is told how long to wait."""

    def __init__(self, *, retry_after_milliseconds: int) -> None:
        self.retry_after_milliseconds = retry_after_milliseconds
        super().__init__(
            429,
            "Request rate is large. More Request Units may be needed, so no changes were made. "
            "Please retry this request later.",
            substatus=REQUEST_RATE_TOO_LARGE,
        )


def bad_request(message: str, *, substatus: int = 0) -> CosmosError:
    """400: the request cannot be understood or is not supported."""
    return CosmosError(400, message, substatus=substatus)


def name_too_long(name: str, limit: int) -> CosmosError:
    """400 in the service's words, which clients look for: the name has to have fewer characters than ``limit``."""
    return bad_request(
        f"The input name '{name[:40]}…' is invalid. "
        f"Ensure to provide a unique non-empty string less than '{limit}' characters."
    )


def cross_partition_disabled() -> CosmosError:
    """400 in the service's words: a query is about several partitions, and the request does not say that it may be."""
    return bad_request(
        "Cross partition query is required but disabled. Please set x-ms-documentdb-query-enablecrosspartition to "
        "true, specify x-ms-documentdb-partitionkey, or revise your query to avoid this exception."
    )


def not_found(what: str, *, substatus: int = 0) -> CosmosError:
    """404: ``what`` does not exist (any more)."""
    return CosmosError(404, f"Entity with the specified id does not exist in the system: {what}", substatus=substatus)


def conflict(what: str) -> CosmosError:
    """409: ``what`` exists already."""
    return CosmosError(409, f"Entity with the specified id already exists in the system: {what}")


def precondition_failed(message: str = "One of the specified pre-condition is not met") -> CosmosError:
    """412: the ETag or the patch condition does not hold."""
    return CosmosError(412, message)


def is_missing_table(error: sqlite3.Error) -> bool:
    """Whether a statement failed because its container was deleted after the request had found it.

    SQLite has no code of its own for that, only its message.
    """
    return str(error).startswith("no such table")


def statement_failed(error: sqlite3.Error) -> CosmosError:
    """404 for a container that was deleted meanwhile, else 500: what a failed statement means to a client."""
    if is_missing_table(error):
        return not_found("the container, which was deleted meanwhile", substatus=OWNER_NOT_FOUND)
    return CosmosError(500, f"The store refused the request: {error}.")


class CannotWriteError(CosmosError):
    """503: a commit failed and nothing of it is stored. ``is_full`` says that it was for want of space."""

    def __init__(self, message: str, *, is_full: bool) -> None:
        self.is_full = is_full
        super().__init__(503, message)


def cannot_write(error: sqlite3.Error) -> CannotWriteError:
    """What a commit that failed means to a client: to come again."""
    return CannotWriteError(
        f"The store cannot write: {error}. Check the disk and try again.",
        is_full=error.sqlite_errorcode == sqlite3.SQLITE_FULL,
    )


class StartupError(CloudScaleError):
    """The emulator cannot start: the message is the one line that a person gets to see."""
