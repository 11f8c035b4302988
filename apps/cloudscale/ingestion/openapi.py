"""The API's description as OpenAPI 3.1, made from the models that check the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale.events import cloudevents
from cloudscale.events.checking import BUILT_IN, Common, FieldError
from cloudscale.events.portable_patterns import portable
from cloudscale.ingestion import problems
from cloudscale.ingestion.answers import Acknowledgement, BatchResult
from cloudscale.ingestion.content import NDJSON
from cloudscale.ingestion.openapi_cloudevents import describe_envelope, describe_header, describe_headers
from cloudscale.ingestion.page_keys import PARAMETER
from cloudscale.ingestion.requests import MAXIMUM_BATCH_EVENTS

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline

_REFERENCE = "#/components/schemas/{name}"
_REFUSALS = {
    "400": "The event is wrong; errors lists every field.",
    "401": "Nobody is known to send this: there is no key or token, or it does not hold. Where access is required.",
    "403": "The sender may not send this, for example for another tenant. Where access is required.",
    "408": "The body did not arrive in time.",
    "413": "Too large.",
    "415": "In a form that is not understood.",
    "429": "Over a rate limit; Retry-After says how long to wait.",
    "503": "Not confirmed, which says nothing about the event: send it again under the same name, after Retry-After.",
}


class ProblemDocument(msgspec.Struct, rename="camel", kw_only=True):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    correlation_id: str
    instance: str | msgspec.UnsetType = msgspec.UNSET
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET


def describe(pipeline: EventPipeline, *, access_required: bool) -> dict[str, Any]:
    """The description of one pipeline's API, with the event types that its resource adds.

    Args:
        pipeline: its resource.
        access_required: whether every request needs a key or token.
    """
    models = [*BUILT_IN.values(), Common, Acknowledgement, BatchResult, ProblemDocument]
    _, schemas = msgspec.json.schema_components(models, ref_template=_REFERENCE)
    schemas = portable(schemas)
    types: dict[str, dict[str, Any]] = {
        name: {"allOf": [_ref(model.__name__), _typed(name)]} for name, model in BUILT_IN.items()
    }
    for added in pipeline.spec.event_types:
        # With an address of its own, what it calls #/$defs is found in it and not in this document.
        own = {"$id": f"urn:cloudscale:event-type:{added.name}", **added.schema}
        types[added.name] = {"allOf": [_ref("Common"), _typed(added.name), own]}
    schemas["Event"] = {"oneOf": list(types.values())}
    schemas["CloudEvent"] = describe_envelope(list(types))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Events of {pipeline.metadata.name}",
            "version": "1",
            "description": (
                "Send events; a 202 means that the broker keeps them. Refusals are problem documents (RFC 9457), but a "
                "request that is malformed as HTTP gets an empty 400 from the server's own parser. CloudEvents 1.0 are "
                f"taken in every mode; their type is {cloudevents.TYPE_PREFIX} and the name of an event type."
            ),
        },
        "paths": {
            "/api/v1/events": {"post": _single(list(types))},
            "/api/v1/events/batch": {"post": _batch()},
            "/health": {"get": _probe("Whether the process is alive", {"200": "Alive."})},
            "/figures": {"get": _probe("What an autoscaler looks at", {"200": "Requests a second, lately."})},
            "/ready": {"get": _probe("Whether events are taken", {"200": "Ready.", "503": "Not ready; problems why."})},
        },
        **({"security": [{"bearer": []}, {"pageKey": []}]} if access_required else {}),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (cloudscale keys create) or a token of an issuer that the pipeline "
                    "names. It decides the tenant, which events may then leave out.",
                },
                "pageKey": {
                    "type": "apiKey",
                    "in": "query",
                    "name": PARAMETER,
                    "description": "For beacons of web pages: a public key (cloudscale keys create --origin).",
                },
            },
        },
    }


def _single(types: list[str]) -> dict[str, Any]:
    operation = _operation(
        "Send one event",
        {"application/json": {"schema": _ref("Event")}, cloudevents.STRUCTURED: {"schema": _ref("CloudEvent")}},
        {
            "200": _answer("A copy of an accepted event, where copies are skipped.", "Acknowledgement"),
            "202": _answer("Accepted.", "Acknowledgement"),
            "409": _refusal("A copy of an event that was accepted before."),
            "422": _refusal("The key came with another payload before."),
        },
    )
    operation["parameters"] += describe_headers(types)
    return operation


def _batch() -> dict[str, Any]:
    events = {"type": "array", "items": _ref("Event"), "minItems": 1, "maxItems": MAXIMUM_BATCH_EVENTS}
    envelopes = {"type": "array", "items": _ref("CloudEvent"), "maxItems": MAXIMUM_BATCH_EVENTS}
    return _operation(
        f"Send up to {MAXIMUM_BATCH_EVENTS} events",
        {
            "application/json": {"schema": events},
            NDJSON[0]: {"schema": {"type": "string"}},
            cloudevents.BATCH: {"schema": envelopes},
        },
        {
            "202": _answer("All accepted.", "BatchResult"),
            "207": _answer("Each event's own result.", "BatchResult"),
        },
    )


def _operation(summary: str, content: dict[str, Any], responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": [
            describe_header(
                "Idempotency-Key",
                "Names the event for its retries; in a batch, with the event's place.",
                r'^([\x21\x23-\x7e][\x21-\x7e]{0,254}|"([\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255}")$',
            ),
            describe_header(
                "X-Correlation-Id", "Goes through log and traces with the event.", r"^[A-Za-z0-9._:@/+=-]{1,128}$"
            ),
        ],
        "requestBody": {"required": True, "content": content},
        "responses": responses | {status: _refusal(text) for status, text in _REFUSALS.items()},
    }


def _probe(summary: str, answers: dict[str, str]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "summary": summary,
        "responses": {status: {"description": text, "content": content} for status, text in answers.items()},
    }


def _answer(description: str, model: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(model)}}}


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {problems.CONTENT_TYPE: {"schema": _ref("ProblemDocument")}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(name=name)}


def _typed(name: str) -> dict[str, Any]:
    return {"properties": {"eventType": {"const": name}}}
