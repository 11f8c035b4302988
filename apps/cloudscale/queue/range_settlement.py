"""Completes consecutive deliveries by one disposition (OASIS AMQP 1.0, part 2.7.6).

The SDK's AMQP layer can do it and waits for the outcome of each delivery; only its receiver has no public name for it,
and completes one message after the other. With one event a message that was two fifths of a worker's processor time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.servicebus._pyamqp.error import AMQPException, MessageSettlementUnconfirmed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver

OUTCOME_SECONDS = 20.0
"""How long to wait for the broker's outcomes."""


class RangeRefusedError(Exception):
    """The broker has answered, and of some of the deliveries with a refusal; it may have taken the others."""


class RangeUnconfirmedError(Exception):
    """The broker did not say what became of the deliveries."""


def ranges(messages: Sequence[ServiceBusReceivedMessage]) -> list[list[ServiceBusReceivedMessage]]:
    """The messages in order, parted where their delivery ids are not consecutive."""
    parts: list[list[ServiceBusReceivedMessage]] = []
    for message in messages:
        if parts and _delivery(message) == _delivery(parts[-1][-1]) + 1:
            parts[-1].append(message)
        else:
            parts.append([message])
    return parts


async def complete_range(receiver: ServiceBusReceiver, messages: Sequence[ServiceBusReceivedMessage]) -> bool:
    """Complete messages with consecutive delivery ids.

    Returns:
        Whether they were completed. If not, nothing was sent: they did not come by the receiver's present link, as
        after it has connected again, and delivery ids mean something else there.

    Raises:
        RangeRefusedError: of at least one the lock is lost; such come again.
        RangeUnconfirmedError: no outcome in time, or the connection broke.
    """
    handler = receiver._handler  # noqa: SLF001
    link = getattr(handler, "_link", None)
    tags = [message._delivery_tag for message in messages]  # noqa: SLF001
    # Tags are lock tokens, so one of this link is of this message.
    if link is None or not link._received_delivery_tags.issuperset(tags):  # noqa: SLF001
        return False
    try:
        await handler.settle_messages_async(
            (_delivery(messages[0]), _delivery(messages[-1])),
            tags[0],
            "accepted",
            await_outcome=True,
            outcome_timeout=OUTCOME_SECONDS,
        )
    except MessageSettlementUnconfirmed as error:
        raise RangeUnconfirmedError(str(error)) from error
    except AMQPException as error:
        raise RangeRefusedError(str(error)) from error
    except (AttributeError, OSError, ValueError) as error:
        # The SDK takes the parts of a connection away when that breaks, and then stumbles over their absence.
        raise RangeUnconfirmedError(f"the connection to the broker is closed: {error}") from error
    finally:
        # The SDK forgets the tag that it was given, and would keep the others as long as the link lives.
        link._received_delivery_tags.difference_update(tags)  # noqa: SLF001
    for message in messages:
        message._settled = True  # noqa: SLF001
    return True


def _delivery(message: ServiceBusReceivedMessage) -> int:
    """The message's delivery id; one that has none is consecutive to no other."""
    number = message._delivery_id  # noqa: SLF001
    return -2 if number is None else number
