"""CloudEvents in the API's description: the envelope of structured mode and the headers of binary mode."""

from __future__ import annotations

import re
from typing import Any

from cloudscale.events.cloudevents import HEADER_PREFIX, TYPE_PREFIX

_VISIBLE = r"^[\x21-\x7e]+$"
_BINARY = "of a CloudEvent in binary mode, whose body is its data"


def describe_header(name: str, description: str, pattern: str) -> dict[str, Any]:
    """The description of a header that may be left out; ``pattern`` is what its value matches."""
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def describe_headers(event_types: list[str]) -> list[dict[str, Any]]:
    """The headers that make a request with JSON a CloudEvent in binary mode."""
    names = "|".join(event_types)
    return [
        describe_header(f"{HEADER_PREFIX}{name}", description, pattern)
        for name, description, pattern in (
            (
                "specversion",
                f"Makes the request one {_BINARY}; ce-type, ce-id and ce-source are then required.",
                r"^1\.0$",
            ),
            (
                "type",
                f"The type {_BINARY}: {TYPE_PREFIX} and the event type.",
                f"^{re.escape(TYPE_PREFIX)}({names})$",
            ),
            ("id", f"The id {_BINARY}: unique together with the source.", _VISIBLE),
            (
                "source",
                f"The source {_BINARY}: a URI reference.",
                r"^[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+$",
            ),
            ("time", "When it happened (RFC 3339): the event's createdAt, unless the body has one.", _VISIBLE),
            ("subject", "What the event is about; kept in its field cloudEvent.", _VISIBLE),
            ("tenantid", "The event's tenantId, unless the body has one.", _VISIBLE),
            ("userid", "The event's userId, unless the body has one.", _VISIBLE),
        )
    ]


def describe_envelope(event_types: list[str]) -> dict[str, Any]:
    """The schema of a CloudEvent in structured mode, and of each in a batch."""
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "description": "A CloudEvent 1.0 in JSON. Attributes named tenantid and userid may stand for fields of data.",
        "required": ["specversion", "type", "id", "source", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "type": {
                "enum": [TYPE_PREFIX + name for name in event_types],
                "description": f"{TYPE_PREFIX} and the event type",
            },
            "id": {**text, "description": "unique together with source"},
            "source": {**text, "description": "a URI reference"},
            "time": {"type": "string", "format": "date-time", "description": "createdAt, unless data has one"},
            "subject": {**text, "description": "kept in the field cloudEvent"},
            "tenantid": {**text, "description": "tenantId, unless data has one"},
            "userid": {**text, "description": "userId, unless data has one"},
            "data": {"type": "object", "description": "the event's fields, without eventType"},
        },
    }
