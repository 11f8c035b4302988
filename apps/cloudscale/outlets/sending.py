"""Follows the change feed into one outlet: sends a range's events in order, and repeats what the receiver refuses."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from cloudscale.outlets.attempts import failed
from cloudscale.outlets.batches import Waiting
from cloudscale.outlets.cloud_event import source_of
from cloudscale.outlets.parked import ParkedEvents, parked
from cloudscale.outlets.selection import Selection
from cloudscale.outlets.signature import signed_headers
from cloudscale.outlets.state import StateStore
from cloudscale.telemetry import metrics
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloudscale.outlets.attempts import Attempts
    from cloudscale.outlets.batches import Request
    from cloudscale.outlets.parked import ParkedEvent
    from cloudscale.outlets.receiver import Answer, Receiver
    from cloudscale.outlets.state import State
    from cloudscale.pipeline.outlets import Outlet
    from cloudscale.store.batches import Document
    from cloudscale.store.events import EventStore
    from cloudscale.store.feed_range import FeedRange

log = structlog.get_logger(__name__)

TURN_SECONDS: Final = 5.0
"""How long one range is sent from before its lease is prolonged and the others have their turn."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Sending:
    """A follower that sends to a receiver.

    Args:
        outlet: what the resource says of it.
        pipeline: namespace and name of its pipeline.
        keys: what requests are signed with.
        receiver: makes the requests.
        store: where attempts that failed are written down, and events parked that the receiver does not take.
        now: the clock.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        pipeline: str,
        keys: Sequence[bytes],
        receiver: Receiver,
        store: EventStore,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.name = f"what outlet {outlet.name} sends"
        self._outlet = outlet.name
        self._selection = Selection.of(outlet.filter)
        self._source = source_of(pipeline)
        self._size = outlet.webhook.batch
        self._retry_for = parse_duration(outlet.webhook.retry_for)
        self._keys = keys
        self._receiver = receiver
        self._states = StateStore(store, outlet.name)
        self._parked_events = ParkedEvents(store, outlet.name)
        self._now = now
        self._waiting: dict[FeedRange, Waiting] = {}
        self._failing: dict[str, Attempts] = {}
        self.is_ended = False
        """Whether the receiver has ended the subscription."""
        self.is_stopping = False
        """Whether the process is about to end, and no further request is to be made."""

    def remember(self, state: State) -> None:
        """Go on with the attempts that were written down, of a process before this one or of this one."""
        self._failing = dict(state.failing)
        self.is_ended = state.ended_at is not None

    @property
    def is_due(self) -> bool:
        """Whether something waits that may be sent at once."""
        return not self.is_ended and any(self._may_send(of) for of in self._waiting)

    def is_full(self, of: FeedRange) -> bool:
        """Whether events of the range wait: they are sent before more is read."""
        return of in self._waiting

    def take(self, of: FeedRange, events: list[Document]) -> None:
        """Let those of a page wait that the filter takes."""
        chosen = [event for event in events if self._selection.takes(event)]
        if chosen:
            waiting = self._waiting.get(of)
            if waiting is None:
                waiting = self._waiting[of] = Waiting(self._outlet, source=self._source, size=self._size)
            waiting.add(chosen)

    async def keep(self, of: FeedRange, *, at_once: bool, is_at_end: bool) -> bool:  # noqa: ARG002 - it never waits
        """Send what waits; whether nothing is left."""
        waiting = self._waiting.get(of)
        if waiting is None:
            return True
        until = time.monotonic() + TURN_SECONDS
        while waiting and self._may_send(of) and not (self.is_ended or self.is_stopping):
            request = waiting.first()
            answer = await self._post(request)
            if answer.is_taken:
                await self._taken(of, request)
                waiting.remove_first()
            elif answer.is_gone:
                await self._end()
            elif await self._is_parked(of, request, answer):
                waiting.remove_first()
            if time.monotonic() > until:
                break
        if waiting:
            return False
        del self._waiting[of]
        return True

    def forget(self, of: FeedRange) -> None:
        """Drop what waits of a range."""
        self._waiting.pop(of, None)

    def start_over(self, of: FeedRange) -> None:
        """Go on with the new container's events."""

    async def send_again(self, event: ParkedEvent) -> Answer:
        """Send a parked event once more, by itself."""
        waiting = Waiting(self._outlet, source=self._source, size=self._size)
        waiting.add([event.event])
        answer = await self._post(waiting.first())
        if answer.is_gone:
            await self._end()
        return answer

    def _may_send(self, of: FeedRange) -> bool:
        attempts = self._failing.get(of.id)
        return attempts is None or attempts.next_at <= self._now()

    async def _post(self, request: Request) -> Answer:
        headers = signed_headers(self._keys, request.id, at=self._now(), body=request.body)
        answer = await self._receiver.post(request.body, {"Content-Type": request.content_type, **headers})
        if answer.is_taken:
            metrics.OUTLET_DELIVERED.labels(self._outlet).inc(len(request.events))
        else:
            metrics.OUTLET_FAILURES.labels(self._outlet).inc()
        return answer

    async def _taken(self, of: FeedRange, request: Request) -> None:
        if self._failing.pop(of.id, None) is not None:
            log.info("the receiver takes events again", outlet=self._outlet, range=of.id, events=len(request.events))
            await self._write_down()

    async def _is_parked(self, of: FeedRange, request: Request, answer: Answer) -> bool:
        """Note that a request failed; whether its events were parked after that."""
        now = self._now()
        before = self._failing.get(of.id)
        attempts = failed(before, answer, now=now, retry_for=self._retry_for, jitter=random.random())  # noqa: S311 - no secret
        is_over = before is not None and before.is_over(now, retry_for=self._retry_for)
        if is_over:
            await self._parked_events.put(
                parked(event, outlet=self._outlet, at=now, attempts=attempts.count, reason=answer.problem)
                for event in request.events
            )
        self._failing[of.id] = attempts
        await self._write_down()
        log.warning(
            "events are parked" if is_over else "the receiver does not take events",
            outlet=self._outlet,
            range=of.id,
            events=len(request.events),
            problem=answer.problem,
            attempts=attempts.count,
            next_at=attempts.next_at.isoformat(timespec="seconds"),
        )
        return is_over

    async def _end(self) -> None:
        log.warning("the receiver has ended the subscription with 410", outlet=self._outlet)
        at = self._now()
        await self._states.change(lambda state: msgspec.structs.replace(state, ended_at=at))
        self.is_ended = True

    async def _write_down(self) -> None:
        failing = dict(self._failing)
        await self._states.change(lambda state: msgspec.structs.replace(state, failing=failing))
