"""The dead letters of a pipeline: what is there, and sending it again or removing it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
from azure.servicebus import ServiceBusMessage, ServiceBusSubQueue

from cloudscale import untrusted_json
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client
from cloudscale.queue.outbox import Outbox
from cloudscale.queue.peeking import Peeking
from cloudscale.queue.poison import DeadLetterReason, attempts_of
from cloudscale.queue.receiver import MessageReceiver, body_of
from cloudscale.queue.search import acceptance_of
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from azure.servicebus import ServiceBusReceivedMessage

    from cloudscale.cache.records import Acceptance
    from cloudscale.pipeline import Queue
    from cloudscale.settings import Settings

    Tell = Callable[[int], None]

__all__ = ["DeadLetter", "DeadLetterReason", "DeadLetters"]

MESSAGES_AT_ONCE = 50
PEEKED_AT_ONCE = 250
"""The broker's own limit of one peek."""

HELD_MESSAGES = 2000
"""Messages passed over in the search for a few others; their locks end it all sooner or later."""


class ReplayLedger(Protocol):
    """What a replay needs of the ledger; :class:`cloudscale.ledger.dead_letters.DeadLetterLedger` has it."""

    async def reenter(self, acceptances: Sequence[Acceptance]) -> int:
        """Put dead letters back in flight."""

    async def forget_dead(self, acceptances: Sequence[Acceptance]) -> None:
        """Let dead letters be dead for good."""


class DeadLetter(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A message in the dead-letter sub-queue. ``sequence_number`` names it there; ``body`` is JSON where it can be."""

    sequence_number: int
    reason: str
    description: str
    attempts: int
    enqueued_at: datetime | None
    body: object

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in it, as far as it holds events."""
        items = self.body if isinstance(self.body, list) else []
        return [item for item in items if isinstance(item, dict)]


class DeadLetters:
    """The dead-letter sub-queue of a pipeline, as an async context manager.

    A replayed or discarded message is found by receiving: the broker has no way to take one by its number. The others
    that are received on the way go back; that raises their delivery counts, which nothing limits among dead letters.

    Args:
        spec: the queue.
        settings: where the namespace is.
        ledger: where replayed events are entered again, so that the pipeline's balance stays right.
    """

    def __init__(self, spec: Queue, settings: Settings, *, ledger: ReplayLedger | None = None) -> None:
        self._spec = spec
        self._settings = settings
        self._ledger = ledger
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._client = await self._exits.enter_async_context(open_client(self._spec, self._settings, retries=1))
        self._outbox = await self._exits.enter_async_context(Outbox(self._client, self._spec.name))
        self._peeking = Peeking(self._receiver)
        self._exits.push_async_callback(self._peeking.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def list(self, *, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """Up to ``limit`` dead letters with sequence numbers above ``after``, in their order.

        Raises:
            BackendUnavailableError, CredentialError: the broker cannot be asked.
        """
        return [described(message) for message in await self._peeking.peek(limit, after=after)]

    async def show(self, sequence_number: int) -> DeadLetter | None:
        """One dead letter; None when there is none with this number."""
        found = await self.list(after=sequence_number - 1, limit=1)
        return found[0] if found and found[0].sequence_number == sequence_number else None

    async def replay(self, sequence_numbers: Collection[int] | None = None, *, tell: Tell | None = None) -> int:
        """Send dead letters to the queue again; how many. Without numbers all that are there now are replayed.

        ``tell`` is called with how many are done, from time to time.

        A crash in between leaves a dead letter that was sent already; replaying it again is harmless, since the store
        drops the copy.
        """
        return await self._take(sequence_numbers, self._send_again, tell=tell)

    async def discard(self, sequence_numbers: Collection[int] | None = None, *, tell: Tell | None = None) -> int:
        """Remove dead letters for good; how many. Without numbers all that are there now are removed.

        ``tell`` is called with how many are done, from time to time.
        """
        return await self._take(sequence_numbers, self._forget, tell=tell)

    async def _take(
        self,
        sequence_numbers: Collection[int] | None,
        handle: Callable[[Sequence[ServiceBusReceivedMessage]], Awaitable[None]],
        *,
        tell: Tell | None,
    ) -> int:
        """Have the wanted messages handled, then complete them; all others stay, and all if that fails."""
        wanted = None if sequence_numbers is None else frozenset(sequence_numbers)
        taken = 0
        held: list[ServiceBusReceivedMessage] = []
        async with self._receiver() as receiver:
            newest = await _newest(receiver)
            try:
                while (wanted is None or taken < len(wanted)) and len(held) <= HELD_MESSAGES:
                    messages = await receiver.receive(MESSAGES_AT_ONCE)
                    if not messages:
                        break
                    # What was dead-lettered since, perhaps what was replayed just now, is left for another time.
                    chosen = [message for message in messages if _is_chosen(message, wanted, newest=newest)]
                    held += messages
                    if chosen:
                        async with receiver.locked(chosen):
                            await handle(chosen)
                        await receiver.complete(chosen)
                        taken += len(chosen)
                        if tell is not None:
                            tell(taken)
                        held = [message for message in held if message not in chosen]
            finally:
                # Otherwise nobody could act on them before their locks expire.
                await receiver.abandon(held)
        return taken

    async def _send_again(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        # Entered first: an event that is in flight and not in the queue shows up in a check, and a second replay mends
        # it; the other way round the balance would be wrong for good.
        if self._ledger is not None:
            await self._ledger.reenter(
                [acceptance for message in messages for acceptance in acceptances_of(described(message))]
            )
        await self._outbox.send(
            [ServiceBusMessage(body_of(message), content_type=message.content_type) for message in messages]
        )

    async def _forget(self, messages: Sequence[ServiceBusReceivedMessage]) -> None:
        if self._ledger is not None:
            await self._ledger.forget_dead(
                [acceptance for message in messages for acceptance in acceptances_of(described(message))]
            )

    def _receiver(self) -> MessageReceiver:
        return MessageReceiver(
            self._client,
            self._spec.name,
            sub_queue=ServiceBusSubQueue.DEAD_LETTER,
            keep_alive_seconds=NO_KEEP_ALIVE,
        )


def described(message: ServiceBusReceivedMessage) -> DeadLetter:
    """What a dead-lettered message says of itself."""
    body = body_of(message)
    content: object
    try:
        content = untrusted_json.decode(body, untrusted_json.ANYTHING)
    except UnreadableJsonError:
        content = body.decode(errors="replace")
    return DeadLetter(
        sequence_number=message.sequence_number or 0,
        reason=message.dead_letter_reason or "",
        description=message.dead_letter_error_description or "",
        attempts=attempts_of(message),
        enqueued_at=message.enqueued_time_utc,
        body=content,
    )


def acceptances_of(letter: DeadLetter) -> list[Acceptance]:
    """What the ledger knows the events of a dead letter by."""
    return [known for event in letter.events if (known := acceptance_of(event)) is not None]


async def _newest(receiver: MessageReceiver) -> int:
    """The highest sequence number at present."""
    newest = 0
    while peeked := await receiver.peek(PEEKED_AT_ONCE, after=newest):
        newest = max(message.sequence_number or 0 for message in peeked)
    return newest


def _is_chosen(message: ServiceBusReceivedMessage, wanted: Collection[int] | None, *, newest: int) -> bool:
    number = message.sequence_number or 0
    return number <= newest and (wanted is None or number in wanted)
