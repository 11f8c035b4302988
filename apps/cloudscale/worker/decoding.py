"""Reads the events of a message and tells good ones from poison, one by one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale import untrusted_json
from cloudscale.errors import CloudScaleError
from cloudscale.queue.poison import DeadLetterReason
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]

CART_CHECK = "check_cart_status"


class UndecodableMessageError(CloudScaleError):
    """The body of a message is no JSON array, so there are no events to tell apart."""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """What the worker reads of an accepted event; the document keeps everything else as it came."""

    id: str
    partition_key: str = msgspec.field(name="partitionKey")
    event_type: str = msgspec.field(name="eventType")
    tenant_id: str = msgspec.field(name="tenantId")
    payload_hash: str = msgspec.field(name="payloadHash")
    acceptance: str
    received_at: datetime = msgspec.field(name="receivedAt")
    created_at: datetime = msgspec.field(name="createdAt")
    correlation_id: str = msgspec.field(name="correlationId")
    client_address: str = msgspec.field(name="clientAddress", default="")
    user_id: str | None = msgspec.field(name="userId", default=None)
    accepted_in: str | None = msgspec.field(name="acceptedIn", default=None)
    accepted_unnamed: bool = msgspec.field(name="acceptedUnnamed", default=False)


class CartCheck(msgspec.Struct, frozen=True, rename="camel", kw_only=True, tag_field="eventType", tag=CART_CHECK):
    """Looks some time after ``add_to_cart`` whether the user purchased. ``since`` is when the cart was filled."""

    tenant_id: str
    user_id: str
    cart_event_id: str
    since: datetime
    correlation_id: str


class Poison(msgspec.Struct, frozen=True):
    """An event that cannot be processed. ``attempts`` is how often it was tried."""

    event: object
    reason: DeadLetterReason
    description: str
    attempts: int = 1


class Decoded(msgspec.Struct, frozen=True):
    """The events of messages; ``documents`` and ``accepted`` go in step."""

    documents: list[Document] = msgspec.field(default_factory=list)
    accepted: list[Accepted] = msgspec.field(default_factory=list)
    cart_checks: list[CartCheck] = msgspec.field(default_factory=list)
    poison: list[Poison] = msgspec.field(default_factory=list)


_array = msgspec.json.Decoder(list[Any])
_array_of_accepted = msgspec.json.Decoder(list[Accepted])


def decode(body: bytes, validate: Callable[[Document], str | None], into: Decoded) -> None:
    """Read a message's events into ``into``.

    Args:
        body: the message's body.
        validate: checks an event against its type; None when it is right, else what is wrong. Raises ``KeyError`` for a
            type that the pipeline does not have.
        into: what has been decoded so far.

    Raises:
        UndecodableMessageError: the body is not a JSON array.
    """
    try:
        events = untrusted_json.decode(body, _array)
    except UnreadableJsonError as error:
        raise UndecodableMessageError(f"the message is not a JSON array of events: {error}") from None
    try:
        # The whole message at once is twice as fast as one by one, and nearly all messages are all right.
        accepted: list[Accepted | None] = list(_array_of_accepted.decode(body))
    except msgspec.DecodeError:
        accepted = [None] * len(events)
    for event, typed in zip(events, accepted, strict=True):
        _sort(event, typed, validate, into)


def _sort(event: object, typed: Accepted | None, validate: Callable[[Document], str | None], into: Decoded) -> None:
    """Put one event where it belongs."""
    if not isinstance(event, dict):
        poison = Poison(event, DeadLetterReason.DESERIALIZATION_FAILED, "the event is not a JSON object")
        into.poison.append(poison)
        return
    event_type = event.get("eventType")
    if not isinstance(event_type, str) or not event_type:
        poison = Poison(event, DeadLetterReason.MISSING_EVENT_TYPE, "the event has no eventType")
        into.poison.append(poison)
        return
    try:
        if event_type == CART_CHECK:
            into.cart_checks.append(msgspec.convert(event, CartCheck))
            return
        problem = validate(event)
        if problem is None:
            into.accepted.append(typed or msgspec.convert(event, Accepted))
            into.documents.append(event)
            return
        reason = DeadLetterReason.VALIDATION_FAILED
    except msgspec.ValidationError as error:
        reason, problem = DeadLetterReason.VALIDATION_FAILED, str(error)
    except KeyError:
        reason = DeadLetterReason.UNKNOWN_EVENT_TYPE
        problem = f"eventType {event_type!r} is neither built in nor one of spec.eventTypes"
    into.poison.append(Poison(event, reason, problem))
