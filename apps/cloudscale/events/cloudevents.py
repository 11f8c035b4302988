"""CloudEvents 1.0 as clients send them, turned into the pipeline's own events.

Structured mode is one JSON object that is the envelope, binary mode has the attributes in ``ce-`` headers and the data
as the body (CloudEvents HTTP Protocol Binding 1.0.2, section 3). ``type`` ``com.cloudscale.page_view`` names the event
type; ``data`` holds its fields; extension attributes named like a common field in lower case (``tenantid``) are that
field. What else identifies the event stays in its field ``cloudEvent``, and so do extensions whose names the pipeline
has a use of its own for, such as ``traceparent``.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from cloudscale.events.checking import RESERVED, FieldError, InvalidEventError
from cloudscale.events.cloudevent_attributes import check_attributes, decode_header, without_nulls
from cloudscale.events.json_text import decode
from cloudscale.events.wrong_values import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cloudscale.events.checking import Document

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
TYPE_PREFIX = "com.cloudscale."
HEADER_PREFIX = "ce-"

_EXTENSIONS = {
    name.lower(): name for name in ("tenantId", "userId", "correlationId", "causationId", "schemaVersion", "eventId")
}
_CONTEXT = {"specversion", "type", "id", "source", "time", "subject", "datacontenttype", "dataschema"}
_KEPT = {"id", "source", "subject", "dataschema"}
_DATA = ("data", "data_base64")


def derive_id(*parts: str) -> str:
    """An event id made from what identifies an event elsewhere: the same parts always give the same 32 hex digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def source_id(event: Document) -> str:
    """What the attributes ``source`` and ``id`` say of an event that was a CloudEvent: its name at the source."""
    attributes = event["cloudEvent"]
    return derive_id(attributes["source"], attributes["id"])


def from_structured(envelope: object) -> Document:
    """The event in a structured-mode envelope (CloudEvents JSON Format 1.0.2).

    Raises:
        InvalidEventError: the envelope is not a CloudEvent 1.0 whose data is an object.
    """
    if not isinstance(envelope, dict):
        raise InvalidEventError(FieldError("", f"must be an object, which a CloudEvent is, not {kind_of(envelope)}"))
    members = without_nulls(envelope)
    attributes = {name: value for name, value in members.items() if name not in _DATA}
    errors: list[FieldError] = []
    try:
        data = _data_of(members)
    except InvalidEventError as error:
        data, errors = {}, [*error.errors]
    return _event_of(attributes, data, where="/", errors=errors)


def from_binary(headers: Iterable[tuple[str, str]], data: object, *, names: Iterable[str] = ()) -> Document:
    """The event whose attributes are ``ce-`` headers (names in lower case) and whose fields are the body's.

    ``names`` are those of all headers, also of such whose values are not ASCII, which ``headers`` lacks.

    Raises:
        InvalidEventError: the headers are not those of a CloudEvent 1.0, or the body is not an object.
    """
    attributes: dict[str, object] = {}
    errors = []
    for header, value in headers:
        if not header.startswith(HEADER_PREFIX):
            continue
        name = header.removeprefix(HEADER_PREFIX)
        text = decode_header(value)
        if name in attributes:
            errors.append(FieldError(header, "stands there twice"))
        elif text is None:
            errors.append(FieldError(header, "is not UTF-8 in percent-encoding (HTTP binding, section 3.1.3.2)"))
        else:
            attributes[name] = text
    seen = {HEADER_PREFIX + name for name in attributes}.union(error.pointer for error in errors)
    errors += [
        FieldError(name, "has characters beyond ASCII: percent-encode them (HTTP binding, section 3.1.3.2)")
        for name in names
        if name.startswith(HEADER_PREFIX) and name not in seen
    ]
    # In binary mode the Content-Type says what the data is.
    attributes.pop("datacontenttype", None)
    return _event_of(attributes, data, where=HEADER_PREFIX, errors=errors)


def _data_of(members: Mapping[str, object]) -> object:
    if "data_base64" not in members:
        return members.get("data")
    if "data" in members:
        raise InvalidEventError(FieldError("/data_base64", "stands beside data: send one of them"))
    encoded = members["data_base64"]
    try:
        text = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
        return decode(text)
    except (ValueError, InvalidEventError) as error:
        wrong = f"is not base64 of a JSON object with the event's fields: {error}"
        raise InvalidEventError(FieldError("/data_base64", wrong)) from None


def _event_of(attributes: Mapping[str, object], data: object, *, where: str, errors: Sequence[FieldError]) -> Document:
    """The event of attributes and data; ``errors`` are those that reading them has found already."""
    # In binary mode the data is the body itself.
    pointer_of_data = "" if where == HEADER_PREFIX else "/data"
    said = {error.pointer for error in errors}
    errors = [
        *errors,
        *(
            FieldError(where + name, message)
            for name, message in check_attributes(attributes)
            if where + name not in said
        ),
    ]
    kind = attributes.get("type")
    if isinstance(kind, str) and kind and not kind.startswith(TYPE_PREFIX):
        errors.append(FieldError(where + "type", f"must begin with {TYPE_PREFIX}, like {TYPE_PREFIX}page_view"))
    if not isinstance(data, dict):
        wrong = "must be an object with the event's fields"
        errors.append(FieldError(pointer_of_data, wrong if data is None else f"{wrong}, not {kind_of(data)}"))
    if errors or not isinstance(data, dict) or not isinstance(kind, str):
        raise InvalidEventError(*errors)

    event: Document = dict(data)
    event["eventType"] = kind.removeprefix(TYPE_PREFIX)
    for name, value in attributes.items():
        if name in _EXTENSIONS:
            event.setdefault(_EXTENSIONS[name], _number(value) if name == "schemaversion" else value)
        elif name not in _CONTEXT and name not in RESERVED:
            event.setdefault(name, value)
    if "time" in attributes:
        event.setdefault("createdAt", attributes["time"])
    event.setdefault("eventId", _event_id(attributes, tenant_id=event.get("tenantId")))
    kept = (name for name in attributes if name in _KEPT or name in RESERVED)
    event["cloudEvent"] = {name: attributes[name] for name in sorted(kept)}
    return event


def _event_id(attributes: Mapping[str, object], *, tenant_id: object) -> str:
    source, name = str(attributes["source"]), str(attributes["id"])
    # Ids are also derived from a tenant and its Idempotency-Key, two parts as well: a source that is named like the
    # tenant must not meet them.
    return derive_id("source", source, name) if source == tenant_id else derive_id(source, name)


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
