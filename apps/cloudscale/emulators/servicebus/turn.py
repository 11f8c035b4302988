"""A turn of the event loop: all changes go to the journal with one write, then all connections may speak.

Nothing a client hears is ahead of what the kernel has, so an acknowledged change survives a killed process. What
survives a power failure depends on the policy: ``always`` holds the answers back until the disk has the changes, many
turns to one ``fdatasync``; ``interval`` synchronises every 100 ms; ``never`` leaves it to the kernel.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cloudscale.emulators.servicebus.journal import JournalError

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.journal import Journal

SYNC_INTERVAL_SECONDS = 0.1


class SyncPolicy(StrEnum):
    """When the disk has to have what was acknowledged."""

    ALWAYS = "always"
    INTERVAL = "interval"
    NEVER = "never"


class Outbox(Protocol):
    """A connection with something to say."""

    def take(self) -> bytes:
        """Give away the octets that wait."""

    def send(self, data: bytes) -> None:
        """Put octets on the wire."""


class Turn:
    """Collects what happens in a turn of the loop and ends it in the right order."""

    def __init__(self, journal: Journal, policy: SyncPolicy) -> None:
        self._journal = journal
        self._policy = policy
        self._outboxes: dict[Outbox, None] = {}
        self._scheduled = False
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.Task[None] | None = None

    def touch(self, outbox: Outbox) -> None:
        """Note that a connection has output; it is sent at the end of the turn."""
        self._outboxes[outbox] = None
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end)

    async def commit(self) -> None:
        """Make what was changed so far as durable as the policy asks, for callers outside of connections.

        Raises:
            JournalError: the disk refuses.
        """
        self._journal.write()
        if self._policy is SyncPolicy.ALWAYS:
            await asyncio.to_thread(self._journal.sync)

    async def synchronise(self) -> None:
        """Write what timers changed, and synchronise at the interval of the policy, until cancelled.

        Raises:
            JournalError: the disk refuses.
        """
        while True:
            await asyncio.sleep(SYNC_INTERVAL_SECONDS)
            self._journal.write()
            if self._policy is not SyncPolicy.NEVER and self._journal.unsynchronised:
                await asyncio.to_thread(self._journal.sync)

    def _end(self) -> None:
        self._scheduled = False
        try:
            self._journal.write()
        except JournalError:
            # Nobody is answered any more. The server knows: the journal tells it of its failure itself.
            return
        if self._policy is SyncPolicy.ALWAYS:
            if self._group is None or self._group.done():
                self._group = self._loop.create_task(self._send_when_synchronised())
            return
        outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes:
            outbox.send(outbox.take())

    async def _send_when_synchronised(self) -> None:
        while self._outboxes:
            outboxes, self._outboxes = self._outboxes, {}
            waiting = [(outbox, outbox.take()) for outbox in outboxes]
            try:
                self._journal.write()
                await asyncio.to_thread(self._journal.sync)
            except JournalError:
                return
            for outbox, data in waiting:
                outbox.send(data)
