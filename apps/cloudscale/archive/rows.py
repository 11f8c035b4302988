"""An event as a row: typed columns for the fields that every reader asks for, and all the rest as JSON."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from cloudscale.errors import CloudScaleError

if TYPE_CHECKING:
    from cloudscale.store.batches import Document

Text = Annotated[str, Meta(min_length=1)]
Moment = Annotated[datetime, Meta(tz=True)]
Whole = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class Row(msgspec.Struct, rename="camel", kw_only=True, gc=False):
    """One row. What a field's type does not take stays in ``rest``; without one of the first four there is no row."""

    id: Text
    tenant_id: Text
    event_type: Text
    received_at: Moment
    user_id: str | None = None
    device_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    created_at: Moment | None = None
    processed_at: Moment | None = None
    schema_version: Whole | None = None
    client_address: str | None = None
    url: str | None = None
    action_name: str | None = None
    amount: float | None = None
    currency: str | None = None
    suspicious: bool | None = None
    rest: Any = None


COLUMNS: Final = {
    "id": "VARCHAR",
    "tenantId": "VARCHAR",
    "eventType": "VARCHAR",
    "receivedAt": "TIMESTAMPTZ",
    "userId": "VARCHAR",
    "deviceId": "VARCHAR",
    "correlationId": "VARCHAR",
    "causationId": "VARCHAR",
    "createdAt": "TIMESTAMPTZ",
    "processedAt": "TIMESTAMPTZ",
    "schemaVersion": "INTEGER",
    "clientAddress": "VARCHAR",
    "url": "VARCHAR",
    "actionName": "VARCHAR",
    "amount": "DOUBLE",
    "currency": "VARCHAR",
    "suspicious": "BOOLEAN",
    "rest": "JSON",
}
"""The columns of a row and their types, in their order."""

NAMES: Final = {"id": "eventId"}
"""Columns that have another name in a file: the store's name for an event's id is not the clients'."""

_OF_THE_STORE: Final = frozenset({"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"})
_NOT_IN_REST: Final = (frozenset(COLUMNS) - {"rest"}) | _OF_THE_STORE | {"eventId"}


class RefusedEventError(CloudScaleError):
    """A document cannot be a row of the archive: the message says why."""


def as_row(event: Document) -> Row:
    """The row of an event of the change feed.

    Raises:
        RefusedEventError: it lacks what every row needs.
    """
    try:
        row = msgspec.convert(event, Row)
    except msgspec.ValidationError:
        return _as_far_as_it_fits(event)
    row.rest = {name: value for name, value in event.items() if name not in _NOT_IN_REST}
    return row


def _as_far_as_it_fits(event: Document) -> Row:
    """The row of an event with a value that its column does not take: such a value stays in the rest."""
    fitting: Document = {}
    unfit: Document = {}
    for field in _fields():
        name = field.encode_name
        if name == "rest" or name not in event:
            continue
        try:
            msgspec.convert(event[name], field.type)
            fitting[name] = event[name]
        except msgspec.ValidationError:
            unfit[name] = event[name]
    try:
        row = msgspec.convert(fitting, Row)
    except msgspec.ValidationError as error:
        raise RefusedEventError(f"it has no usable field that every row needs: {error}") from None
    row.rest = {name: value for name, value in event.items() if name not in _NOT_IN_REST or name in unfit}
    return row


@cache
def _fields() -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(Row)
