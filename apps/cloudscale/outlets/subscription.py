"""One outlet at work: passes over the change feed, and what commands ask of it in between."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

import msgspec
import structlog

from cloudscale.errors import BackendError
from cloudscale.outlets.names import follower_name
from cloudscale.outlets.parked import ParkedEvents
from cloudscale.outlets.receiver import Receiver
from cloudscale.outlets.sending import TURN_SECONDS, Sending, utc_now
from cloudscale.outlets.state import State, StateStore
from cloudscale.store.feed import EventFeed
from cloudscale.store.leases import LeaseStore
from cloudscale.store.passes import Passes
from cloudscale.store.ranges import OwnedRanges
from cloudscale.tasks import cancel_and_wait
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cloudscale.pipeline import EventPipeline
    from cloudscale.pipeline.outlets import Outlet
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

log = structlog.get_logger(__name__)

PAGE_EVENTS: Final = 500
"""Events that are read at once, and sent again at the most when the process is killed."""

PAUSE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 2.0
"""How soon a command is seen."""

REPLAYED_EVENTS: Final = 100
"""Parked events that are sent again before the others have their turn."""

STOP_SECONDS: Final = 10.0
"""How long a request may still take when the process is to end. One that is cut off is made again."""

RELEASE_SECONDS: Final = 5.0


class Subscription:
    """An outlet with its place in the feed, as an async context manager over the client of ``store``.

    Args:
        pipeline: the pipeline.
        outlet: which of its outlets.
        keys: what its requests are signed with.
        now: the clock of attempts.
    """

    def __init__(
        self,
        pipeline: EventPipeline,
        outlet: Outlet,
        *,
        store: EventStore,
        settings: Settings,
        keys: Sequence[bytes],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.outlet = outlet
        self.passes: Passes
        self._store = store
        self._settings = settings
        self._spec = pipeline.spec.store
        # A process that is started again in the same place goes on at once; any other waits for the lease's end.
        self._owner = f"{socket.gethostname()}:{settings.pipeline_file}"
        self._states = StateStore(store, outlet.name)
        self._parked = ParkedEvents(store, outlet.name)
        self._receiver = Receiver(outlet.webhook, authority_file=settings.certificate_authority_file)
        self._sending = Sending(
            outlet,
            pipeline=f"{pipeline.metadata.namespace}/{pipeline.metadata.name}",
            keys=keys,
            receiver=self._receiver,
            store=store,
            now=now,
        )
        self._exits = AsyncExitStack()
        self._ranges: OwnedRanges
        self._is_sending = False
        self._looked_at = 0.0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self._receiver)
            feed = await opened.enter_async_context(EventFeed(self._spec, self._settings))
            state = await self._states.change(lambda state: state)
            self._sending.remember(state)
            begin = state.begins_at if self.outlet.start == "Now" else None
            name = follower_name(self.outlet.name)
            leases = LeaseStore(self._store, follower=name)
            self._ranges = OwnedRanges(feed, leases, owner=self._owner, begin=begin)
            self.passes = Passes(feed, self._ranges, self._sending, events=PAGE_EVENTS, figure=name)
            self._exits = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def run(self, until: asyncio.Event) -> None:
        """Send until told to stop; then give the place back, for the next process to go on at once."""
        working = asyncio.create_task(self._work(until))
        stopping = asyncio.create_task(until.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._sending.is_stopping = True
            await asyncio.wait((working,), timeout=STOP_SECONDS)
            if working.done():
                working.result()
        finally:
            await cancel_and_wait(working, stopping)
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._ranges.release()
        except (BackendError, TimeoutError) as error:
            log.warning("the outlet's place is not given back", outlet=self.outlet.name, error=str(error))

    async def _work(self, until: asyncio.Event) -> None:
        while not until.is_set():
            if not await self._try():
                with suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), PAUSE_SECONDS)

    async def _try(self) -> bool:
        try:
            is_behind = await self.run_once()
        except BackendError as error:
            log.warning("the outlet has to wait", outlet=self.outlet.name, error=str(error))
            is_behind = False
        self.passes.show_lag()
        return is_behind

    async def run_once(self) -> bool:
        """Do what commands ask for, and make a pass if the outlet is to send; whether there is more to do at once.

        Raises:
            BackendError: the store did not answer; the next call goes on.
        """
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            await self.look()
        if not self._is_sending or self._sending.is_ended:
            return False
        is_behind = await self.passes.run_pass()
        return is_behind or self._sending.is_due

    async def look(self) -> None:
        """Read what commands ask for, and do it.

        Raises:
            BackendError: the store did not answer; the next call goes on.
        """
        state = await self._states.change(lambda state: state)
        if state.rewind_to is not None:
            state = await self._rewind(state.rewind_to)
        ranges = {of.id for of in self._ranges.owned}
        if ranges and not ranges.issuperset(state.failing):
            # A range that was split is no more.
            kept = {each: attempts for each, attempts in state.failing.items() if each in ranges}
            state = await self._states.change(lambda state: msgspec.structs.replace(state, failing=kept))
        self._sending.remember(state)
        self._is_sending = state.is_sending
        if state.is_sending:
            await self._replay()
        metrics.OUTLET_PARKED.labels(self.outlet.name).set(await self._parked.count())
        self._looked_at = time.monotonic()

    async def _rewind(self, to: datetime) -> State:
        await self._ranges.rewind(to)
        self.passes.start_anew()
        log.info("the outlet goes on from another time", outlet=self.outlet.name, since=to.isoformat())

        def done(state: State) -> State:
            # Somebody may have asked for another time meanwhile.
            rewind_to = None if state.rewind_to == to else state.rewind_to
            return msgspec.structs.replace(state, rewind_to=rewind_to, begins_at=to, failing={})

        return await self._states.change(done)

    async def _replay(self) -> None:
        """Send parked events again that somebody wants sent again."""
        until = time.monotonic() + TURN_SECONDS
        for event in await self._parked.find(limit=REPLAYED_EVENTS, is_wanted=True):
            if time.monotonic() > until or self._sending.is_stopping:
                return
            answer = await self._sending.send_again(event)
            if answer.is_taken:
                await self._parked.remove(event)
                continue
            again = msgspec.structs.replace(event, is_wanted=False, attempts=event.attempts + 1, reason=answer.problem)
            await self._parked.put([again])
            if self._sending.is_ended:
                return
