"""Looks for accepted events in the queue and among its dead letters, without taking them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from azure.servicebus import ServiceBusSubQueue

from cloudscale import untrusted_json
from cloudscale.cache.records import Acceptance
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


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and whether the search came to its end: what an incomplete one has not found may be there."""

    queued: AbstractSet[Acceptance]
    """Events that wait in the queue."""
    dead: AbstractSet[Acceptance]
    """Events among the dead letters."""
    complete: bool

    @property
    def found(self) -> set[Name]:
        """The names of all that were found."""
        return {(each.event_id, each.token) for each in (*self.queued, *self.dead)}


class _Wanted(msgspec.Struct, frozen=True):
    names: AbstractSet[Name]
    unnamed: bool

    def picks(self, each: Acceptance) -> bool:
        return (each.event_id, each.token) in self.names or (self.unnamed and not each.is_named)


async def search_queues(spec: Queue, settings: Settings, *, wanted: AbstractSet[Name], unnamed: bool = False) -> Search:
    """Which of the ``wanted`` events wait in the queue or are among its dead letters.

    With ``unnamed``, all events as well that were accepted while Redis was away.

    Raises:
        BackendError: the queue cannot be read.
    """
    if not wanted and not unnamed:
        return Search(queued=frozenset(), dead=frozenset(), complete=True)
    queued: set[Acceptance] = set()
    dead: set[Acceptance] = set()
    complete = True
    async with open_client(spec, settings) as client:
        # Once more at the end: a dead letter that is replayed meanwhile goes back into the queue.
        for sub_queue in (None, ServiceBusSubQueue.DEAD_LETTER, None):
            names = wanted - {(each.event_id, each.token) for each in (*queued, *dead)}
            if not names and not unnamed:
                break
            into = queued if sub_queue is None else dead
            complete &= await _peek(client, spec.name, sub_queue=sub_queue, wanted=_Wanted(names, unnamed), into=into)
    search = Search(queued=queued, dead=dead - queued, complete=complete)
    return msgspec.structs.replace(search, complete=complete or (not unnamed and wanted <= search.found))


async def _peek(
    client: ServiceBusClient,
    queue: str,
    *,
    sub_queue: ServiceBusSubQueue | None,
    wanted: _Wanted,
    into: set[Acceptance],
) -> bool:
    """Add what is wanted to ``into``; whether all of the queue was looked through, or all that is wanted was found."""
    missing = set(wanted.names)
    with translated("look through the queue"):
        async with client.get_queue_receiver(queue, sub_queue=sub_queue, keep_alive=NO_KEEP_ALIVE) as receiver:
            next_number = 1
            for _ in range(PEEKED_MESSAGES // _PEEK_AT_ONCE):
                messages = await receiver.peek_messages(_PEEK_AT_ONCE, sequence_number=next_number)
                if not messages or (not missing and not wanted.unnamed):
                    return True
                for message in messages:
                    picked = list(filter(wanted.picks, acceptances_in(body_of(message))))
                    into.update(picked)
                    missing.difference_update((each.event_id, each.token) for each in picked)
                next_number = (messages[-1].sequence_number or 0) + 1
    return False


class _Accepted(msgspec.Struct, rename="camel"):
    tenant_id: str
    id: str
    acceptance: str
    received_at: datetime
    accepted_unnamed: bool = False


def acceptances_in(body: bytes) -> list[Acceptance]:
    """The accepted events in a message; none when it cannot be read, which makes it a dead letter."""
    try:
        events = untrusted_json.decode(body, untrusted_json.ANYTHING)
    except UnreadableJsonError:
        return []
    if not isinstance(events, list):
        return []
    return [known for event in events if (known := acceptance_of(event)) is not None]


def acceptance_of(event: object) -> Acceptance | None:
    """What the ledger knows an event by; None for what did not come through ingestion."""
    try:
        known = msgspec.convert(event, _Accepted)
    except msgspec.ValidationError:
        return None
    received = known.received_at if known.received_at.tzinfo else known.received_at.replace(tzinfo=UTC)
    return Acceptance(
        known.tenant_id,
        known.id,
        known.acceptance,
        received.timestamp(),
        acknowledged=True,
        is_named=not known.accepted_unnamed,
    )
