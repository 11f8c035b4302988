"""What a client's disposition does to the messages it was given (OASIS AMQP 1.0, parts 2.7.6 and 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudscale.emulators.servicebus import frames
from cloudscale.emulators.servicebus.conditions import ConditionError, MessageLockLostError
from cloudscale.emulators.servicebus.frames import OutcomeCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.emulators.servicebus.channel import Channel
    from cloudscale.emulators.servicebus.faults import Faults
    from cloudscale.emulators.servicebus.links import OutgoingLink
    from cloudscale.emulators.servicebus.performatives import Disposition
    from cloudscale.emulators.servicebus.queue import Queue

DEAD_LETTER_KEYS = ("DeadLetterReason", "DeadLetterErrorDescription")


def settle(channel: Channel, faults: Faults, disposition: Disposition, *, last: int) -> None:
    """Apply an outcome to the deliveries up to ``last`` and confirm it, one answer for all that went well.

    A client that settles only after the broker (``rcv-settle-mode`` second) waits for the confirmation; a settled
    disposition wants none.
    """
    if not disposition.role or disposition.state is None:
        return
    outcome = disposition.state.descriptor
    fields = disposition.state.value or []
    wanted: Iterable[int] = range(disposition.first, last + 1)
    if last - disposition.first > len(channel.unsettled):
        # The bounds are the client's: walk what is here, not what they span.
        wanted = [delivery for delivery in channel.unsettled if disposition.first <= delivery <= last]
    failed = False
    answers = []
    for delivery in wanted:
        held = channel.unsettled.pop(delivery, None)
        try:
            if held is None:
                raise MessageLockLostError(f"delivery {delivery} is settled already or was never made")
            link, token = held
            apply(link.queue, token, outcome, fields)
        except ConditionError as error:
            failed = True
            _keep(channel, delivery, held)
            answers.append((delivery, frames.rejected(error.condition, str(error))))
        else:
            answers.append((delivery, frames.simple_outcome(outcome)))
    if disposition.settled or faults.drop_acknowledgements:
        return
    if not failed:
        channel.dispose(disposition.first, last, frames.simple_outcome(outcome), receiver=False)
        return
    for delivery, answer in answers:
        channel.dispose(delivery, delivery, answer, receiver=False)


def _keep(channel: Channel, delivery: int, held: tuple[OutgoingLink, bytes] | None) -> None:
    """Hold on to a message whose settlement was refused while its lock lasts: it returns when the client goes."""
    if held is not None and held[1] in held[0].queue.locked:
        channel.unsettled[delivery] = held


def apply(queue: Queue, token: bytes, outcome: int, fields: list[Any]) -> None:
    """Settle one message.

    Raises:
        MessageLockLostError: the lock is gone.
        ArgumentError: its properties cannot be encoded.
        EntityNotFoundError: the queue was deleted.
    """
    if outcome == OutcomeCode.ACCEPTED:
        queue.complete(token)
    elif outcome == OutcomeCode.REJECTED:
        queue.dead_letter(token, _rejection(fields))
    elif outcome == OutcomeCode.MODIFIED:
        undeliverable_here = len(fields) > 1 and bool(fields[1])
        properties = fields[2] if len(fields) > 2 and isinstance(fields[2], dict) else None
        if undeliverable_here:
            queue.defer(token, plain_keys(properties))
        else:
            # Raises the delivery count also without delivery-failed, as the service does.
            queue.abandon(token, plain_keys(properties))
    else:
        queue.abandon(token, counted=False)


def _rejection(fields: list[Any]) -> dict[str, Any]:
    """The reason, description and further properties in the error of a ``rejected`` outcome."""
    detail = fields[0].value if fields and fields[0] is not None else []
    information = detail[2] if len(detail) > 2 and isinstance(detail[2], dict) else {}
    properties = plain_keys(information) or {}
    # A null reason crashes the Go SDK, so it is left out.
    return {key: value for key, value in properties.items() if value is not None or key not in DEAD_LETTER_KEYS}


def plain_keys(properties: dict[Any, Any] | None) -> dict[str, Any] | None:
    """Turn symbols that name properties into strings, the only keys application properties may have (3.2.5)."""
    return None if properties is None else {str(key): value for key, value in properties.items()}
