"""Events as clients send them: their common fields, the built-in types, and the limits that hold for every one.

Every string, the nesting and the size are bounded here, because an event is carried, hashed and stored as it came:
fields that no type knows are kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloudscale.errors import CloudScaleError
from cloudscale.events.currencies import Currency

MAXIMUM_EVENT_BYTES = 65_536
MAXIMUM_DEPTH = 16
MAXIMUM_STRING_CHARACTERS = 16_384
MAXIMUM_NAME_CHARACTERS = 256
MAXIMUM_KEYS = 512
LARGEST_INTEGER = 2**53 - 1
"""JSON numbers are stored as doubles, which tell integers apart only up to here (RFC 8259, section 6)."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2101, 1, 1, tzinfo=UTC)
"""An event happened from the one on and before the other."""

Document = dict[str, Any]

PAGE_KEY = "cloudscaleKey"
"""The member of a beacon's body that is its sender's key: no event keeps it."""

RESERVED = {
    "id": "send it as eventId",
    "partitionKey": "it is made from tenantId and createdAt",
    "receivedAt": "the server sets it; the device's time is createdAt",
    "clientAddress": "the server sets it",
    "payloadHash": "the server sets it",
    "acceptance": "the server sets it",
    "acceptedIn": "the server sets it",
    "acceptedUnnamed": "the server sets it",
    "neighbourPartition": "the server sets it",
    "suspicious": "the fraud check sets it",
    "fraud": "the fraud check sets it",
    "processedAt": "the worker sets it",
    "ttl": "the pipeline's spec.store.timeToLive sets it",
    "traceparent": "send it as an HTTP header",
    PAGE_KEY: "it is the key of a beacon (text/plain) from an origin in spec.access.browser, and of no other request",
}
"""Top-level names that belong to the pipeline, and what a client should do instead."""

STORE_NAMES = "names that begin with _ belong to the store"

# \Z and not $, which Python also finds before a line feed at the end: ids are written into lines.
# . and .. are steps in the path of a URL, so the store's API could not address such a document.
# A description says in words what the pattern says: clients are told it when their value does not match.
EventId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^(?!\.\.?\Z)[^/\\?#\x00-\x1f\x7f]+\Z",
        description=r"must not contain / \ ? # or control characters, and must not be . or ..",
    ),
]
CorrelationId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9._:@/+=-]+\Z",
        description="must have only the letters A to Z and a to z, digits, and . _ : @ / + = -",
    ),
]
TenantId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*\Z",
        description="must have only the letters A to Z and a to z, digits, and . _ @ - (not at the beginning)",
    ),
]
ShortText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[^\x00-\x1f\x7f]+\Z",
        description="must not contain control characters",
    ),
]


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field. ``pointer`` is a JSON pointer (RFC 6901), empty for the event itself."""

    pointer: str
    message: str


class InvalidEventError(CloudScaleError):
    """An event cannot be accepted; ``errors`` lists every field that is wrong."""

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.pointer or 'event'}: {error.message}" for error in errors))


class Common(msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """The fields that events of every type have."""

    event_type: Annotated[str, Meta(min_length=1, max_length=64)]
    tenant_id: TenantId
    event_id: EventId | None = None
    correlation_id: CorrelationId | None = None
    causation_id: CorrelationId | None = None
    user_id: ShortText | None = None
    created_at: Annotated[datetime, Meta(tz=True)] | None = None
    schema_version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    metadata: Annotated[dict[Annotated[str, Meta(max_length=128)], Any], Meta(max_length=64)] = {}


class PageView(Common, frozen=True, kw_only=True, gc=False):
    """Somebody looked at a page."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            pattern=r"^[^\x00-\x20\x7f]+\Z",
            description="must not contain spaces or control characters: percent-encode them",
        ),
    ]


class UserAction(Common, frozen=True, kw_only=True, gc=False):
    """Somebody did something; ``add_to_cart`` starts the watch over an abandoned cart."""

    action_name: ShortText
    properties: Annotated[dict[Annotated[str, Meta(max_length=128)], Any], Meta(max_length=128)] = {}


class Purchase(UserAction, frozen=True, kw_only=True, gc=False):
    """Somebody paid."""

    amount: Annotated[float, Meta(ge=0, le=1e12)]
    currency: Annotated[
        Currency,
        Meta(description="must be the code of an active currency in capital letters (ISO 4217), like EUR or USD"),
    ]


BUILT_IN: dict[str, type[Common]] = {"page_view": PageView, "user_action": UserAction, "purchase": Purchase}
INTERNAL = frozenset({"check_cart_status"})


def check_limits(event: Document) -> None:
    """Refuse what no type may contain.

    Raises:
        InvalidEventError: reserved names, or strings, numbers or nesting beyond the limits.
    """
    errors = [
        FieldError(f"/{escape(name)}", f"is reserved: {RESERVED.get(name, STORE_NAMES)}")
        for name in event
        if name in RESERVED or name[:1] == "_"
    ]
    _walk(event, "", 0, errors)
    if errors:
        raise InvalidEventError(*errors)


def escape(name: str) -> str:
    """A name as a reference token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _walk(value: dict[str, Any] | list[Any], pointer: str, depth: int, errors: list[FieldError]) -> None:
    if depth > MAXIMUM_DEPTH:
        errors.append(FieldError(pointer, f"is nested deeper than {MAXIMUM_DEPTH} levels"))
        return
    if len(value) > MAXIMUM_KEYS:
        errors.append(FieldError(pointer, f"has {len(value)} entries: at most {MAXIMUM_KEYS} are allowed"))
        return
    for name, each in value.items() if type(value) is dict else enumerate(value):
        kind = type(each)
        if type(name) is str and len(name) > MAXIMUM_NAME_CHARACTERS:
            errors.append(FieldError(pointer, f"has a key of more than {MAXIMUM_NAME_CHARACTERS} characters"))
        elif kind is str:
            if len(each) > MAXIMUM_STRING_CHARACTERS:
                errors.append(_error_at(pointer, name, f"has more than {MAXIMUM_STRING_CHARACTERS} characters"))
        elif kind is int:
            if abs(each) > LARGEST_INTEGER:
                wrong = "is beyond 2^53, where numbers lose digits: send it as text"
                errors.append(_error_at(pointer, name, wrong))
        elif kind is dict or kind is list:
            _walk(each, f"{pointer}/{escape(str(name))}", depth + 1, errors)


def _error_at(pointer: str, name: str | int, message: str) -> FieldError:
    return FieldError(f"{pointer}/{escape(str(name))}", message)
