"""Events as clients send them: their common fields, the built-in types, and the limits that hold for every one.

Every string, the nesting and the size are bounded here, because an event is carried, hashed and stored as it came:
fields that no type knows are kept.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from cloudscale.errors import CloudScaleError
from cloudscale.events.currencies import Currency

if TYPE_CHECKING:
    from collections.abc import Iterable

MAXIMUM_EVENT_BYTES = 65_536
MAXIMUM_DEPTH = 16
MAXIMUM_STRING_CHARACTERS = 16_384
MAXIMUM_NAME_CHARACTERS = 256
MAXIMUM_KEYS = 512
LARGEST_INTEGER = 2**53 - 1
"""JSON numbers are stored as doubles, which tell integers apart only up to here (RFC 8259, section 6)."""

EARLIEST_YEAR = 1970
LATEST_YEAR = 2100

Document = dict[str, Any]

RESERVED = {
    "id": "send it as eventId",
    "partitionKey": "it is made from tenantId and createdAt",
    "receivedAt": "the server sets it; the device's time is createdAt",
    "clientAddress": "the server sets it",
    "payloadHash": "the server sets it",
    "acceptance": "the server sets it",
    "acceptedUnnamed": "the server sets it",
    "neighbourPartition": "the server sets it",
    "suspicious": "the fraud check sets it",
    "fraud": "the fraud check sets it",
    "processedAt": "the worker sets it",
    "ttl": "the pipeline's spec.store.timeToLive sets it",
    "traceparent": "send it as an HTTP header",
}
"""Top-level names that belong to the pipeline, and what a client should do instead."""

STORE_NAMES = "names that begin with _ belong to the store"

# \Z and not $, which Python also finds before a line feed at the end: ids are written into lines.
EventId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^/\\?#\x00-\x1f\x7f]+\Z")]
CorrelationId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/+=-]+\Z")]
TenantId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*\Z")]
UserId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+\Z")]


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
    user_id: UserId | None = None
    created_at: Annotated[datetime, Meta(tz=True)] | None = None
    schema_version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    metadata: Annotated[dict[Annotated[str, Meta(max_length=128)], Any], Meta(max_length=64)] = {}


class PageView(Common, frozen=True, kw_only=True, gc=False):
    """Somebody looked at a page."""

    url: Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[^\x00-\x20\x7f]+\Z")]


class UserAction(Common, frozen=True, kw_only=True, gc=False):
    """Somebody did something; ``add_to_cart`` starts the watch over an abandoned cart."""

    action_name: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
    properties: Annotated[dict[Annotated[str, Meta(max_length=128)], Any], Meta(max_length=128)] = {}


class Purchase(UserAction, frozen=True, kw_only=True, gc=False):
    """Somebody paid."""

    amount: Annotated[float, Meta(ge=0, le=1e12)]
    currency: Currency


BUILT_IN: dict[str, type[Common]] = {"page_view": PageView, "user_action": UserAction, "purchase": Purchase}
INTERNAL = frozenset({"check_cart_status"})


def decode(body: bytes) -> Any:
    """Decode JSON that a client sent.

    Raises:
        InvalidEventError: it is not JSON, not UTF-8, nested too deep, or an object has a key twice.
    """
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError(FieldError("", f"not valid JSON in UTF-8: {error}")) from None
    except RecursionError:
        raise InvalidEventError(FieldError("", f"nested deeper than {MAXIMUM_DEPTH} levels")) from None
    # Where no colon follows white space, each key ends in quote and colon, and strings can only add more such pairs:
    # equal counts then prove that no key was dropped as a duplicate.
    if body.count(b'":') != _keys_of(value, 0) or _SPACED_COLON(body):
        _refuse_duplicate_keys(body)
    return value


def split_array(body: bytes) -> list[bytes]:
    """The elements of a JSON array, as they stand there: each is decoded by itself, so that one spoils no other.

    Raises:
        InvalidEventError: it is not a JSON array.
    """
    try:
        return [bytes(element) for element in _decode_array(body)]
    except msgspec.ValidationError:
        wrong = "a batch is a JSON array of events, or one event a line as NDJSON"
        raise InvalidEventError(FieldError("", wrong)) from None
    except msgspec.DecodeError as error:
        raise InvalidEventError(FieldError("", f"not valid JSON in UTF-8: {error}")) from None
    except RecursionError:
        raise InvalidEventError(FieldError("", f"nested deeper than {MAXIMUM_DEPTH} levels")) from None


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


def as_utc(moment: datetime) -> str:
    """A moment as RFC 3339 text in UTC with microseconds, so that texts sort like the moments."""
    # A tenth of the time that isoformat takes; it leaves out microseconds that are 0.
    text: str = msgspec.to_builtins(moment if moment.tzinfo is UTC else moment.astimezone(UTC))
    return text if len(text) == 27 else text[:19] + ".000000Z"


def escape(name: str) -> str:
    """A name as a reference token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


_decode = msgspec.json.Decoder().decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_SPACED_COLON = re.compile(rb"[ \t\n\r]:").search


def _keys_of(value: object, depth: int) -> int:
    if depth > MAXIMUM_DEPTH:
        raise InvalidEventError(FieldError("", f"nested deeper than {MAXIMUM_DEPTH} levels"))
    members: Iterable[object]
    if type(value) is dict:
        keys, members = len(value), value.values()
    elif type(value) is list:
        keys, members = 0, value
    else:
        return 0
    for each in members:
        kind = type(each)
        if kind is dict or kind is list:
            keys += _keys_of(each, depth + 1)
    return keys


def _refuse_duplicate_keys(body: bytes) -> None:
    def unique(pairs: list[tuple[str, object]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidEventError(FieldError("", f"the key {name[:64]!r} stands twice in one object"))
            seen.add(name)

    json.loads(body, object_pairs_hook=unique)


def _walk(value: dict[str, Any] | list[Any], pointer: str, depth: int, errors: list[FieldError]) -> None:
    if depth > MAXIMUM_DEPTH or len(value) > MAXIMUM_KEYS:
        errors.append(FieldError(pointer, f"exceeds {MAXIMUM_DEPTH} levels or {MAXIMUM_KEYS} entries"))
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
                wrong = "is beyond 2^53, where numbers lose digits: send it as a string"
                errors.append(_error_at(pointer, name, wrong))
        elif kind is dict or kind is list:
            _walk(each, f"{pointer}/{escape(str(name))}", depth + 1, errors)


def _error_at(pointer: str, name: str | int, message: str) -> FieldError:
    return FieldError(f"{pointer}/{escape(str(name))}", message)
