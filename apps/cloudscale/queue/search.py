"""Looks for accepted events in the queue and among its dead letters, without taking them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import msgspec
from azure.servicebus import ServiceBusSubQueue

from cloudscale import untrusted_json
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client, translated
from cloudscale.queue.receiver import body_of
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from azure.servicebus.aio import ServiceBusClient

    from cloudscale.pipeline import Queue
    from cloudscale.settings import Settings

PEEKED_MESSAGES = 20_000
"""Messages of each queue that are looked through."""

_PEEK_AT_ONCE = 250

Name = tuple[str, str]
"""Event id and acceptance token: what an accepted event is known by in a message."""


class Search(msgspec.Struct, frozen=True):
    """What was found, and whether the search came to its end: what an incomplete one has not found may be there."""

    found: AbstractSet[Name]
    complete: bool


async def look_through_queues(spec: Queue, settings: Settings, *, wanted: AbstractSet[Name]) -> Search:
    """Which of the ``wanted`` events wait in the queue or its dead letters.

    Raises:
        BackendError: the queue cannot be read.
    """
    if not wanted:
        return Search(frozenset(), complete=True)
    found: set[Name] = set()
    complete = True
    async with open_client(spec, settings) as client:
        for sub_queue in (None, ServiceBusSubQueue.DEAD_LETTER):
            search = await _peek(client, spec.name, sub_queue=sub_queue, wanted=wanted - found)
            complete &= search.complete
            found |= search.found
    return Search(found, complete or found == wanted)


async def _peek(
    client: ServiceBusClient, queue: str, *, sub_queue: ServiceBusSubQueue | None, wanted: AbstractSet[Name]
) -> Search:
    found: set[Name] = set()
    with translated("look through the queue"):
        async with client.get_queue_receiver(queue, sub_queue=sub_queue, keep_alive=NO_KEEP_ALIVE) as receiver:
            next_number = 1
            for _ in range(PEEKED_MESSAGES // _PEEK_AT_ONCE):
                messages = await receiver.peek_messages(_PEEK_AT_ONCE, sequence_number=next_number)
                if not messages or found == wanted:
                    return Search(found, complete=True)
                for message in messages:
                    found |= wanted & names_in(body_of(message))
                next_number = (messages[-1].sequence_number or 0) + 1
    return Search(found, complete=False)


def names_in(body: bytes) -> set[Name]:
    """The events in a message; none when it cannot be read, which makes it a dead letter."""
    try:
        events = untrusted_json.decode(body, untrusted_json.ANYTHING)
    except UnreadableJsonError:
        return set()
    if not isinstance(events, list):
        return set()
    names = ((event.get("id"), event.get("acceptance")) for event in events if isinstance(event, dict))
    return {(event_id, token) for event_id, token in names if isinstance(event_id, str) and isinstance(token, str)}
