"""The description of the dashboard's API as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from cloudscale.dashboard.administering import openapi as administering
from cloudscale.dashboard.problems import Kind, Problem
from cloudscale.dashboard.reading.cursors import MOST_CHARACTERS
from cloudscale.dashboard.reading.device_questions import MOST_DEVICES, USUAL_DEVICES
from cloudscale.dashboard.reading.models import (
    DevicePage,
    DeviceWithKeys,
    EventPage,
    EventWithDevice,
    StoredEvent,
    User,
)
from cloudscale.dashboard.reading.openapi_parts import (
    REFERENCE,
    in_path,
    parameter,
    reference,
    refusal,
    responses,
)
from cloudscale.dashboard.reading.questions import MOST_EVENTS, USUAL_EVENTS
from cloudscale.events.portable_patterns import portable

_REFUSALS: Final = {
    "400": "A parameter is wrong; errors lists each.",
    "401": "There is no key or token, or it does not hold; WWW-Authenticate says so too.",
    "403": "The key or token lacks the scope events:read, or its tenant is closed.",
    "429": "Over the limit of one key or token; Retry-After says how long to wait.",
    "503": "The store, or the directory of keys, cannot be asked now; Retry-After says when to try again.",
}


def describe(pipeline: str) -> dict[str, Any]:
    """The description of the API of the pipeline with this name."""
    models = [StoredEvent, EventPage, EventWithDevice, DevicePage, DeviceWithKeys, User, Problem, *administering.MODELS]
    _, schemas = msgspec.json.schema_components(models, ref_template=REFERENCE)
    schemas = portable(schemas)
    schemas["Problem"]["properties"]["type"] = {"enum": [kind.type for kind in Kind]}
    schemas["StoredEvent"]["additionalProperties"] = True
    schemas["EventPage"]["properties"]["events"]["items"] = reference("StoredEvent")
    schemas["EventWithDevice"]["properties"]["event"] = reference("StoredEvent")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Stored events of {pipeline}, its tenants and keys",
            "version": "1",
            "description": (
                "Read what is stored of your tenant, with the scope events:read. Administer keys with the scope "
                "tenant:admin, and tenants and the keys of all of them with the scope admin. Each request needs a key "
                "or token in the header Authorization: Bearer. Bodies are read as JSON, whatever their Content-Type "
                "says. Refusals are problem documents (RFC 9457), also for addresses that are not there (404) and "
                "methods that are not for them (405)."
            ),
        },
        "security": [{"bearer": []}],
        "paths": {
            "/api/v1/events": {"get": _events()},
            "/api/v1/events/{event_id}": {"get": _event()},
            "/api/v1/devices": {"get": _devices(), "post": administering.create_device()},
            "/api/v1/devices/{device_id}": {
                "get": _one("Read one device", "device_id", "DeviceWithKeys", "No such device is registered.")
            },
            "/api/v1/users/{user_id}": {
                "get": _one("Read what is known of a user", "user_id", "User", "No event of such a user is stored.")
            },
            **administering.paths(),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _events() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    time = {"type": "string", "format": "date-time"}
    count = {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS, "default": USUAL_EVENTS}
    cursor = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MOST_CHARACTERS}
    return {
        "summary": "Read events in the order of their own time",
        "parameters": [
            parameter("id", {**text, "maxLength": 255}, "Only the event with this eventId."),
            parameter("user", {**text, "maxLength": 128}, "Only events with this userId."),
            parameter("type", {**text, "maxLength": 128}, "Only events of this type."),
            parameter("device", {**text, "maxLength": 255}, "Only events with this deviceId."),
            parameter("suspicious", {"type": "boolean"}, "Only those that the fraud check flagged, or did not."),
            parameter("since", time, "Only events whose createdAt is not before this time."),
            parameter(
                "until",
                time,
                "Only events whose createdAt is before this time; a day from now on when it is not given.",
            ),
            parameter(
                "order",
                {"enum": ["desc", "asc"], "default": "desc"},
                "desc: the latest createdAt first; asc: the last.",
            ),
            parameter("limit", count, "How many events a page has at the most."),
            parameter("cursor", cursor, "next of the page before; the other parameters must be the same, but limit."),
        ],
        "responses": responses("EventPage", _REFUSALS),
    }


def _event() -> dict[str, Any]:
    operation = _one("Read one event", "event_id", "StoredEvent", "No such event.")
    include = parameter(
        "include",
        {"enum": ["device"]},
        "device: answer with the event and the registered device that its deviceId names, as it is now.",
    )
    operation["parameters"].append(include)
    either = {"anyOf": [reference("StoredEvent"), reference("EventWithDevice")]}
    operation["responses"]["200"]["content"]["application/json"]["schema"] = either
    return operation


def _devices() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": 128}
    time = {"type": "string", "format": "date-time"}
    count = {"type": "integer", "minimum": 1, "maximum": MOST_DEVICES, "default": USUAL_DEVICES}
    cursor = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": MOST_CHARACTERS}
    return {
        "summary": "Read registered devices in the order of their ids",
        "parameters": [
            parameter("type", text, "Only devices of this type."),
            parameter("model", text, "Only devices of this model."),
            parameter("seenAfter", time, "Only devices that have sent at this time or later."),
            parameter("seenBefore", time, "Only devices that have not sent at this time or later, or never have."),
            parameter("limit", count, "How many devices a page has at the most."),
            parameter("cursor", cursor, "next of the page before; the other parameters must be the same, but limit."),
        ],
        "responses": responses("DevicePage", _REFUSALS),
    }


def _one(summary: str, name: str, model: str, absent: str) -> dict[str, Any]:
    described = in_path(
        name,
        {"type": "string", "minLength": 1},
        "Percent-encoded where it has characters that mean something in an address.",
    )
    return {
        "summary": summary,
        "parameters": [described],
        "responses": responses(model, _REFUSALS) | {"404": refusal(f"{absent} Those of other tenants are not there.")},
    }
