"""The namespace: all queues over one journal, and the clock that moves them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from cloudscale.emulators.servicebus import records
from cloudscale.emulators.servicebus.conditions import (
    ArgumentError,
    EntityExistsError,
    EntityNotFoundError,
    NotImplementedConditionError,
)
from cloudscale.emulators.servicebus.faults import NO_FAULTS, Faults
from cloudscale.emulators.servicebus.journal import SEGMENT_BYTES, Journal
from cloudscale.emulators.servicebus.queue import Clock, Queue
from cloudscale.emulators.servicebus.records import QueueState
from cloudscale.emulators.servicebus.storage import CACHE_BYTES, PayloadCache, QueueStorage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloudscale.emulators.servicebus.authorization import SharedAccessKey
    from cloudscale.emulators.servicebus.description import QueueDescription
    from cloudscale.emulators.servicebus.stored import StoredMessage

MOVED_IN_A_TICK = 256
SUBSCRIPTIONS = "/subscriptions/"

log = structlog.get_logger(__name__)


def wall_clock() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class Broker:
    """All queues of the emulated namespace."""

    def __init__(
        self,
        directory: Path,
        key: SharedAccessKey,
        *further_keys: SharedAccessKey,
        clock: Clock = wall_clock,
        cache_bytes: int = CACHE_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Open the data directory and recover what it holds.

        Raises:
            JournalError: the directory is in use or damaged.
        """
        self.keys = (key, *further_keys)
        self.clock = clock
        self.started = clock()
        self.faults: Faults = NO_FAULTS
        self.journal = Journal(directory / "journal", segment_bytes=segment_bytes)
        self._cache = PayloadCache(cache_bytes)
        started = time.perf_counter()
        states = records.recover(self.journal)
        self.queues: dict[str, Queue] = {}
        self._moving: list[tuple[Queue, StoredMessage, int]] = []
        for state in states.values():
            self._open(state)
        self._next_identifier = max(states, default=0) + 1
        self.journal.snapshot = self._snapshot
        messages = sum(len(queue.messages) for queue in self.queues.values())
        seconds = round(time.perf_counter() - started, 3)
        log.info("recovered", queues=len(self.queues), messages=messages, seconds=seconds)

    def queue(self, name: str) -> Queue:
        """Find a queue; names do not heed case.

        Raises:
            EntityNotFoundError: there is none of this name.
            NotImplementedConditionError: it is the name of a topic's subscription.
        """
        queue = self.queues.get(name.lower())
        if queue is None and SUBSCRIPTIONS in f"{name.lower()}/":
            raise NotImplementedConditionError(
                f"{name!r}: topics and subscriptions are not supported by this emulator: it has queues only"
            )
        if queue is None:
            raise EntityNotFoundError(
                f"the queue {name!r} does not exist: create it with the management API or --queue"
            )
        return queue

    def create_queue(self, description: QueueDescription) -> Queue:
        """Create a queue.

        Raises:
            EntityExistsError: the name is taken.
            ArgumentError: a setting is out of range.
        """
        if description.name.lower() in self.queues:
            raise EntityExistsError(f"the queue {description.name!r} exists already")
        now = self.clock()
        described = msgspec.structs.replace(description.check(), created=now, updated=now)
        state = QueueState(self._next_identifier, described)
        self._next_identifier += 1
        queue = self._open(state)
        queue.storage.describe(described)
        log.info("queue created", queue=description.name)
        return queue

    def update_queue(self, description: QueueDescription) -> Queue:
        """Change the settings of a queue; messages it holds keep their expiry.

        Raises:
            EntityNotFoundError: there is none of this name.
            ArgumentError: a setting is out of range or cannot change.
        """
        queue = self.queue(description.name)
        before = queue.description
        for name in ("requires_session", "requires_duplicate_detection"):
            if getattr(before, name) != getattr(description, name):
                raise ArgumentError(f"{name} of queue {before.name!r} cannot change: delete it and create it anew")
        changed = msgspec.structs.replace(
            description.check(), name=before.name, created=before.created, updated=self.clock()
        )
        queue.storage.describe(changed)
        return queue

    def delete_queue(self, name: str) -> Queue:
        """Delete a queue with all its messages.

        Raises:
            EntityNotFoundError: there is none of this name.
        """
        queue = self.queue(name)
        del self.queues[name.lower()]
        queue.delete()
        log.info("queue deleted", queue=queue.description.name)
        return queue

    def tick(self) -> None:
        """Do what time brings: expiry, schedules, and giving disk space back."""
        now = self.clock()
        for queue in list(self.queues.values()):
            queue.tick(now)
            if queue.is_idle(now):
                log.info("idle queue is deleted", queue=queue.description.name)
                self.delete_queue(queue.description.name)
        self._compact()
        self.journal.collect()

    def close(self) -> None:
        """Flush everything to the disk and give the directory free."""
        self.journal.close()

    def _open(self, state: QueueState) -> Queue:
        queue = Queue(QueueStorage(self.journal, self._cache, state), self.clock)
        self.queues[state.description.name.lower()] = queue
        return queue

    def _snapshot(self) -> Iterator[bytes]:
        return records.snapshot(queue.storage.state for queue in self.queues.values())

    def _compact(self) -> None:
        """Move a few survivors out of a segment that is mostly dead, so that its file can go."""
        if not self._moving:
            number = self.journal.sparse_segment()
            if number is not None:
                self._moving = self._survivors(number)
        for _ in range(min(MOVED_IN_A_TICK, len(self._moving))):
            queue, message, segment = self._moving.pop()
            if message.segment == segment and queue.messages.get(message.sequence) is message:
                queue.storage.rewrite(message)

    def _survivors(self, segment: int) -> list[tuple[Queue, StoredMessage, int]]:
        return [
            (queue, message, segment)
            for queue in self.queues.values()
            for message in queue.messages.values()
            if message.segment == segment
        ]
