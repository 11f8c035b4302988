"""Group commit: requests that arrive together share one call to Redis and one send to the broker.

While one group is on its way the next one fills, so a lone request waits for nobody and a busy server packs. Nothing is
answered as accepted before the broker has acknowledged it. (The idea is that of databases' logs: DeWitt et al.,
"Implementation Techniques for Main Memory Database Systems", 1984, section 5.2.)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import msgspec
import structlog

from cloudscale.circuit_breaker import CircuitOpenError
from cloudscale.errors import BackendError, CloudScaleError
from cloudscale.ingestion.pace import Pace
from cloudscale.limits.admission import Admitted, Limited, State
from cloudscale.limits.rates import Allowance
from cloudscale.queue.packing import pack
from cloudscale.tasks import cancel_and_wait, start_task
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.circuit_breaker import CircuitBreaker
    from cloudscale.events.enrichment import Enriched
    from cloudscale.limits.admission import Admission
    from cloudscale.limits.rates import Sender
    from cloudscale.queue.sender import EventSender

log = structlog.get_logger(__name__)

GROUP_EVENTS = 1000
GROUP_REQUESTS = 400
FULL_GROUP_REQUESTS = 64
"""A group starts at once when so many wait: more would hardly make it cheaper."""

IDLE_FLUSH_SECONDS = 0.02
"""What the broker has acknowledged is written down after this long, if no group comes that carries it."""


class Committed(msgspec.Struct, frozen=True, gc=False):
    """What became of the events of a request that the limits let in: each one's state.

    ``failure`` is set when new events were not acknowledged, so that none of them may be called accepted.
    """

    allowance: Allowance
    states: Sequence[State]
    first_ids: Sequence[str]
    failure: BackendError | None = None

    @property
    def published(self) -> int:
        """How many of the events this request has put in the queue."""
        return 0 if self.failure is not None else sum(state is State.NEW for state in self.states)


Outcome = Committed | Limited
"""What became of a request."""


class _Entry:
    __slots__ = ("arrived_at", "events", "future", "sender")

    def __init__(self, sender: Sender, events: Sequence[Enriched], arrived_at: float) -> None:
        self.sender = sender
        self.events = events
        self.arrived_at = arrived_at
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()


class GroupCommit:
    """Collects requests into groups and commits them, one group for each of ``senders`` at a time.

    ``is_behind`` says whether so many events wait in the queue that a group may wait longer for more of them, and
    ``pace`` how long groups wait for each other.
    """

    def __init__(
        self,
        admission: Admission,
        senders: Sequence[EventSender],
        *,
        breaker: CircuitBreaker,
        events_per_message: int,
        is_behind: Callable[[], bool] = lambda: False,
        pace: Pace | None = None,
    ) -> None:
        self._admission = admission
        self._senders = senders
        self._breaker = breaker
        self._events_per_message = events_per_message
        self._waiting: deque[_Entry] = deque()
        self._arrival = asyncio.Event()
        self._full = asyncio.Event()
        self._in_flight = 0
        self._next_start = 0.0
        self._pace = pace or Pace()
        self._is_behind = is_behind
        self._closing = False
        self._is_failing = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            start_task(self._commit_groups(sender), name=f"group-commit-{number}")
            for number, sender in enumerate(self._senders)
        ]
        self._tasks.append(start_task(self._flush_when_idle(), name="ledger-flush"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what waits, then stop."""
        self._closing = True
        self._arrival.set()
        self._full.set()
        *committers, flusher = self._tasks
        await asyncio.gather(*committers)
        await cancel_and_wait(flusher)
        await self._admission.flush()

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""
        return self._in_flight

    async def submit(self, sender: Sender, events: Sequence[Enriched], *, arrived_at: float) -> Outcome:
        """Take part in the next group; answers when it is committed or has failed.

        Args:
            sender: whom the limits count it for.
            events: new events; none for a request that is refused anyway and only has to be limited.
            arrived_at: when the request came in, on ``time.perf_counter``.

        Raises:
            CircuitOpenError: the broker is away.
            CloudScaleError: the service is stopping.
        """
        if self._closing:
            raise CloudScaleError("the service is stopping: send the event again")
        if events and self._breaker.state == "open":
            self._breaker.before_call()
        entry = _Entry(sender, events, arrived_at)
        self._waiting.append(entry)
        self._arrival.set()
        if len(self._waiting) >= FULL_GROUP_REQUESTS:
            self._full.set()
        self._in_flight += 1
        try:
            return await entry.future
        finally:
            self._in_flight -= 1

    async def _commit_groups(self, sender: EventSender) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._arrival.clear()
                await self._arrival.wait()
                continue
            pause = self._next_start - clock()
            if pause > 0 and not self._full.is_set():
                await self._wait_until_full(pause)
                continue
            group = self._take_group()
            if not group:
                continue
            self._next_start = clock() + self._pace.after(len(group), is_behind=self._is_behind())
            try:
                await self._commit(group, sender)
            except Exception as error:
                # A group must never leave its requests without an answer, whatever went wrong.
                log.exception("a group was not committed", events=sum(len(entry.events) for entry in group))
                for entry in group:
                    if not entry.future.done():
                        entry.future.set_exception(error)

    async def _wait_until_full(self, seconds: float) -> None:
        """Wait until a full group's worth of requests is there, ``seconds`` at the most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._full.wait()

    def _take_group(self) -> list[_Entry]:
        """Up to a group's worth of waiting entries; one with a name that is in the group already waits for the next."""
        group: list[_Entry] = []
        deferred: list[_Entry] = []
        names: set[str] = set()
        size = 0
        while self._waiting and len(group) < GROUP_REQUESTS and size < GROUP_EVENTS:
            entry = self._waiting.popleft()
            if entry.future.done():
                continue
            own = [name for event in entry.events for name in event.names]
            if not names.isdisjoint(own):
                deferred.append(entry)
                continue
            names.update(own)
            group.append(entry)
            size += len(entry.events)
        self._waiting.extendleft(reversed(deferred))
        if len(self._waiting) < FULL_GROUP_REQUESTS and not self._closing:
            self._full.clear()
        return group

    async def _commit(self, group: Sequence[_Entry], sender: EventSender) -> None:
        verdicts = await self._admission.admit([(entry.sender, entry.events) for entry in group])
        new = [
            event if verdict.is_named else event.unnamed()
            for entry, verdict in zip(group, verdicts, strict=True)
            if isinstance(verdict, Admitted)
            for event, state in zip(entry.events, verdict.states, strict=True)
            if state is State.NEW
        ]
        failure = await self._send(new, sender) if new else None
        if failure is not None:
            # A client that tries again at once, with another payload perhaps, must not meet its own reservation.
            await self._admission.release(new)
        self._answer(group, verdicts, failure)

    async def _send(self, events: Sequence[Enriched], sender: EventSender) -> BackendError | None:
        bodies = [
            body for _, body in pack([event.body for event in events], events_per_message=self._events_per_message)
        ]
        try:
            self._breaker.before_call()
            await sender.send(bodies)
        except CircuitOpenError as error:
            return error
        except BackendError as error:
            self._breaker.record_failure(error)
            metrics.set_breaker_state("servicebus", self._breaker.state)
            # Said once an outage; each request that it costs has a line of its own.
            write = log.debug if self._is_failing else log.warning
            write("events are not sent, their clients are to come again", events=len(events), error=str(error))
            self._is_failing = True
            return error
        if self._is_failing:
            self._is_failing = False
            log.info("events are sent again", events=len(events))
        self._breaker.record_success()
        metrics.set_breaker_state("servicebus", self._breaker.state)
        self._admission.commit(events)
        return None

    def _answer(
        self, group: Sequence[_Entry], verdicts: Sequence[Admitted | Limited], failure: BackendError | None
    ) -> None:
        now = time.perf_counter()
        durations: dict[str, list[float]] = {}
        counts: dict[tuple[str, str], int] = {}
        for entry, verdict in zip(group, verdicts, strict=True):
            if isinstance(verdict, Limited):
                if not entry.future.done():
                    entry.future.set_result(verdict)
                continue
            if not entry.future.done():
                entry.future.set_result(Committed(verdict.allowance, verdict.states, verdict.first_ids, failure))
            if failure is None:
                for event, state in zip(entry.events, verdict.states, strict=True):
                    if state is State.NEW:
                        kind = (event.event_type, event.tenant_id)
                        counts[kind] = counts.get(kind, 0) + 1
                        durations.setdefault(event.event_type, []).append(now - entry.arrived_at)
        metrics.count_ingested(counts)
        for event_type, seconds in durations.items():
            metrics.observe_ingestion(event_type, seconds)
        if counts:
            metrics.GROUP_SIZE.observe(sum(counts.values()))

    async def _flush_when_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE_FLUSH_SECONDS if self._in_flight or self._admission.has_commits else 0.1)
            quiet_since = asyncio.get_running_loop().time() - IDLE_FLUSH_SECONDS
            if self._admission.has_commits and self._next_start < quiet_since:
                await self._admission.flush()
