"""CloudEvents 1.0 as clients send them, turned into the pipeline's own events.

Structured mode is one JSON object that is the envelope, binary mode has the attributes in ``ce-`` headers and the data
as the body (CloudEvents HTTP Protocol Binding 1.0.2, section 3). ``type`` ``com.cloudscale.page_view`` names the event
type; ``data`` holds its fields; extension attributes named like a common field in lower case (``tenantid``) are that
field. What else identifies the event stays in its field ``cloudEvent``, and so do extensions whose names the pipeline
has a use of its own for, such as ``traceparent``.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cloudscale.events.checking import RESERVED, FieldError, InvalidEventError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudscale.events.checking import Document

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
TYPE_PREFIX = "com.cloudscale."
HEADER_PREFIX = "ce-"

_EXTENSIONS = {
    name.lower(): name for name in ("tenantId", "userId", "correlationId", "causationId", "schemaVersion", "eventId")
}
_CONTEXT = {"specversion", "type", "id", "source", "time", "subject", "datacontenttype", "dataschema", "data"}
_KEPT = {"id", "source", "subject", "dataschema"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def derive_id(*parts: str) -> str:
    """An event id made from what identifies an event elsewhere: the same parts always give the same 32 hex digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def source_id(event: Document) -> str:
    """What the attributes ``source`` and ``id`` say of an event that was a CloudEvent: its name at the source."""
    attributes = event["cloudEvent"]
    return derive_id(attributes["source"], attributes["id"])


def from_structured(envelope: object) -> Document:
    """The event in a structured-mode envelope.

    Raises:
        InvalidEventError: the envelope is not a CloudEvent 1.0 whose data is an object.
    """
    if not isinstance(envelope, dict):
        raise InvalidEventError(FieldError("", "a CloudEvent is a JSON object"))
    if "data_base64" in envelope:
        raise InvalidEventError(FieldError("/data_base64", "binary data is not an event: send a JSON object as data"))
    return _event_of(envelope, envelope.get("data"), where="/")


def from_binary(headers: Iterable[tuple[str, str]], data: object) -> Document:
    """The event whose attributes are ``ce-`` headers (names in lower case) and whose fields are the body's.

    Raises:
        InvalidEventError: the headers are not those of a CloudEvent 1.0, or the body is not an object.
    """
    attributes = {
        name.removeprefix(HEADER_PREFIX): unquote(value) for name, value in headers if name.startswith(HEADER_PREFIX)
    }
    return _event_of(attributes, data, where=HEADER_PREFIX)


def _event_of(attributes: Mapping[str, object], data: object, *, where: str) -> Document:
    errors = [
        FieldError(where + name, "is required by CloudEvents 1.0: a string that is not empty")
        for name in ("specversion", "type", "id", "source")
        if not isinstance(attributes.get(name), str) or not attributes[name]
    ]
    errors += [
        FieldError(where + name, "must not contain control characters (CloudEvents 1.0, section 2.4)")
        for name in ("id", "source")
        if not errors and _CONTROL.search(str(attributes[name]))
    ]
    if not errors and attributes["specversion"] != "1.0":
        errors.append(FieldError(where + "specversion", "must be 1.0"))
    kind = str(attributes.get("type", ""))
    if not errors and not kind.startswith(TYPE_PREFIX):
        errors.append(FieldError(where + "type", f"must begin with {TYPE_PREFIX}, like {TYPE_PREFIX}page_view"))
    if not isinstance(data, dict):
        errors.append(FieldError("/data", "must be an object with the event's fields"))
    if errors or not isinstance(data, dict):
        raise InvalidEventError(*errors)

    event: Document = dict(data)
    event["eventType"] = kind.removeprefix(TYPE_PREFIX)
    for name, value in attributes.items():
        if name in _EXTENSIONS:
            event.setdefault(_EXTENSIONS[name], _number(value) if name == "schemaversion" else value)
        elif name not in _CONTEXT and name not in RESERVED:
            event.setdefault(name, value)
    if attributes.get("time") is not None:
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
