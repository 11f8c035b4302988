"""Builds what one process that sends to outlets consists of, and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendUnavailableError, ConfigurationError
from cloudscale.outlets.given_secrets import read_secrets
from cloudscale.outlets.subscription import Subscription
from cloudscale.store.events import EventStore
from cloudscale.tasks import cancel_and_wait
from cloudscale.telemetry.http import serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.pipeline import EventPipeline
    from cloudscale.pipeline.outlets import Outlet
    from cloudscale.settings import Settings

log = structlog.get_logger(__name__)

CONNECT_AGAIN_SECONDS = 1.0


class OutletsService:
    """One process that sends stored events to the outlets of a pipeline. Setting ``stopping`` ends it.

    Each outlet connects, reads and sends by itself, so that one which cannot holds up no other. The archive has a
    process of its own.
    """

    def __init__(
        self, pipeline: EventPipeline, settings: Settings, *, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.stopping = asyncio.Event()
        self._pipeline = pipeline
        self._settings = settings
        self._environment = environment
        self._connected: set[str] = set()

    async def run(self) -> None:
        """Send until ``stopping`` is set.

        Raises:
            ConfigurationError: the pipeline has no outlet, or one has no usable secret.
            CredentialError: the store refuses the credential.
        """
        settings, outlets = self._settings, self._pipeline.spec.outlets
        if not outlets:
            raise ConfigurationError(
                f"pipeline {self._pipeline.metadata.name} has no outlets: add some to spec.outlets and start it again"
            )
        keys = read_secrets(outlets, self._environment)
        async with serve(settings.host, settings.metrics_port, unready=self.unready):
            tasks = [asyncio.create_task(self._follow(outlet, keys[outlet.name])) for outlet in outlets]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
            finally:
                await cancel_and_wait(*tasks)
        log.info("outlets stopped")

    def unready(self) -> list[str]:
        """What keeps it from sending at present."""
        problems = [
            f"outlet {outlet.name} is not connected to the store so far"
            for outlet in self._pipeline.spec.outlets
            if outlet.name not in self._connected
        ]
        return [*problems, *(["stopping"] if self.stopping.is_set() else [])]

    async def _follow(self, outlet: Outlet, keys: list[bytes]) -> None:
        while not self.stopping.is_set():
            async with AsyncExitStack() as exits:
                try:
                    store = await exits.enter_async_context(EventStore(self._pipeline.spec.store, self._settings))
                    await store.ensure(followers=True, outlets=True)
                    subscription = await exits.enter_async_context(
                        Subscription(self._pipeline, outlet, store=store, settings=self._settings, keys=keys)
                    )
                except BackendUnavailableError as error:
                    log.warning("cannot send so far, connecting again", outlet=outlet.name, error=str(error))
                else:
                    self._connected.add(outlet.name)
                    await subscription.run(self.stopping)
                    return
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), CONNECT_AGAIN_SECONDS)
