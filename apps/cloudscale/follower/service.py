"""Builds what one follower process consists of, and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import structlog

from cloudscale.archive.archiver import Archiver
from cloudscale.archive.location import FOLLOWER, archive_of
from cloudscale.archive.writing import open_place
from cloudscale.errors import BackendUnavailableError
from cloudscale.store.events import EventStore
from cloudscale.store.feed import EventFeed
from cloudscale.store.leases import LeaseStore
from cloudscale.store.passes import Passes
from cloudscale.store.ranges import OwnedRanges
from cloudscale.tasks import cancel_and_wait
from cloudscale.telemetry.http import serve
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale.pipeline.archive import Archive
    from cloudscale.settings import Settings

log = structlog.get_logger(__name__)

CONNECT_AGAIN_SECONDS = 1.0


class FollowerService:
    """One process that follows the store. Setting ``stopping`` ends it, after it has kept what is stored."""

    def __init__(self, pipeline: EventPipeline, settings: Settings) -> None:
        self.stopping = asyncio.Event()
        self._pipeline = pipeline
        self._settings = settings
        self._connected = False

    async def run(self) -> None:
        """Follow until ``stopping`` is set.

        Raises:
            ConfigurationError: the pipeline has nothing that follows, or the archive's directory cannot be used.
            CredentialError: the store refuses the credential.
        """
        settings = self._settings
        archive = archive_of(self._pipeline)
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(serve(settings.host, settings.metrics_port, unready=self.unready))
            passes = await self._connect(exits, archive)
            if passes is not None:
                self._connected = True
                await passes.run(self.stopping)
        log.info("follower stopped")

    def unready(self) -> list[str]:
        """What keeps it from following at present."""
        problems = [] if self._connected else ["not connected to the store and the archive so far"]
        return [*problems, *(["stopping"] if self.stopping.is_set() else [])]

    async def _connect(self, exits: AsyncExitStack, archive: Archive) -> Passes | None:
        """Connect to the store and the archive, as often as it takes; None when told to stop before."""
        connecting = asyncio.create_task(self._open(exits, archive))
        stopping = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
            return connecting.result() if connecting.done() else None
        finally:
            await cancel_and_wait(connecting, stopping)

    async def _open(self, exits: AsyncExitStack, archive: Archive) -> Passes:
        spec = self._pipeline.spec.store
        while True:
            async with AsyncExitStack() as attempt:
                try:
                    place = await attempt.enter_async_context(open_place(self._pipeline, self._settings))
                    store = await attempt.enter_async_context(EventStore(spec, self._settings))
                    await store.ensure(followers=True)
                    feed = await attempt.enter_async_context(EventFeed(spec, self._settings))
                except BackendUnavailableError as error:
                    log.warning("cannot follow so far, connecting again", error=str(error))
                else:
                    exits.push_async_exit(attempt.pop_all())
                    leases = LeaseStore(store, follower=FOLLOWER)
                    archiver = Archiver(place, interval=parse_duration(archive.interval))
                    # The archive has one writer, so nobody needs to wait until the lease of one that was killed ends.
                    return Passes(feed, OwnedRanges(feed, leases, owner=FOLLOWER), archiver, figure=FOLLOWER)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), CONNECT_AGAIN_SECONDS)
