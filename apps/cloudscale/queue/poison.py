"""How a single event of a packed message becomes a dead letter, and why events do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from azure.servicebus import ServiceBusMessage

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage

REASON_PROPERTY = "deadLetterReason"
DESCRIPTION_PROPERTY = "deadLetterDescription"
ATTEMPTS_PROPERTY = "attempts"

DESCRIPTION_CHARACTERS = 1024
"""The broker takes up to 4,096 for a dead letter's description; nobody reads more than this."""


class DeadLetterReason(StrEnum):
    """Why an event was dead-lettered, as the broker's ``DeadLetterReason`` has it."""

    MISSING_EVENT_TYPE = "MissingEventType"
    DESERIALIZATION_FAILED = "DeserializationFailed"
    UNKNOWN_EVENT_TYPE = "UnknownEventType"
    VALIDATION_FAILED = "ValidationFailed"
    IDEMPOTENCY_CONFLICT = "IdempotencyConflict"
    MAX_RETRIES_EXCEEDED = "MaxRetriesExceeded"


class Verdict(msgspec.Struct, frozen=True):
    """Why a message is to be dead-lettered."""

    reason: str
    description: str


def poison_message(event: object, *, reason: DeadLetterReason, description: str, attempts: int) -> ServiceBusMessage:
    """A message of its own for an event that cannot be processed.

    The broker dead-letters messages, not single events of one. So the event is sent again alone, with the verdict in
    its application properties, and whichever worker receives it dead-letters it natively. The properties stay on the
    dead letter. Two copies of it are harmless.
    """
    return ServiceBusMessage(
        msgspec.json.encode([event]),
        content_type="application/json",
        application_properties={
            REASON_PROPERTY: str(reason),
            DESCRIPTION_PROPERTY: description[:DESCRIPTION_CHARACTERS],
            ATTEMPTS_PROPERTY: attempts,
        },
    )


def verdict(message: ServiceBusReceivedMessage) -> Verdict | None:
    """The verdict that a received message carries; None for a message that is still to be processed."""
    properties = message.application_properties
    if not properties:
        return None
    # AMQP strings arrive as bytes.
    texts = {_text(name): _text(value) for name, value in properties.items()}
    if REASON_PROPERTY not in texts:
        return None
    return Verdict(texts[REASON_PROPERTY], texts.get(DESCRIPTION_PROPERTY, ""))


def attempts_of(message: ServiceBusReceivedMessage) -> int:
    """How often the event of a dead letter was tried; its deliveries if it was dead-lettered whole."""
    for name, value in (message.application_properties or {}).items():
        if _text(name) == ATTEMPTS_PROPERTY and isinstance(value, int):
            return value
    return (message.delivery_count or 0) + 1


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
