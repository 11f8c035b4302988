"""Puts authentication together for a service, and decides whether it is needed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog
from redis.exceptions import RedisError

from cloudscale.access.attempts import FailedAttempts
from cloudscale.access.authentication import Authentication
from cloudscale.access.directory import Directory
from cloudscale.access.given_key_files import GivenKeyFiles
from cloudscale.access.last_use import LastUse
from cloudscale.access.shared_cache import SharedCache
from cloudscale.cache.keys import keys_of
from cloudscale.errors import BackendError, BackendUnavailableError, ConfigurationError
from cloudscale.settings import variable_name
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import ModuleType
    from typing import Self

    from redis.asyncio import Redis

    from cloudscale.access.container import AccessContainer
    from cloudscale.access.records import Key, Reference, Tenant
    from cloudscale.access.tokens import TokenVerifier
    from cloudscale.pipeline import EventPipeline, PipelineSpec, Store
    from cloudscale.settings import Settings

log = structlog.get_logger(__name__)

_KEYS_VARIABLE = variable_name("keys_file")

CONNECT_INTERVAL_SECONDS = 2.0
CONNECT_SECONDS = 4.0
"""How long the first lookup waits for the store."""
LAST_WRITE_SECONDS = 1.0


def access_mode(spec: PipelineSpec, settings: Settings) -> Literal["Required", "Open"]:
    """Whether senders need a key or token: as the resource says, else as befits the place where it runs."""
    return spec.access.mode or settings.access


@asynccontextmanager
async def open_authentication(
    pipeline: EventPipeline, settings: Settings, redis: Redis
) -> AsyncIterator[Authentication]:
    """Authentication over the pipeline's directory, which is reached as soon as somebody is to be looked up.

    When keys were last used is written to Redis.
    """
    async with AsyncExitStack() as resources:
        store = await resources.enter_async_context(_StoreOnDemand(pipeline.spec.store, settings))
        given = await resources.enter_async_context(GivenKeyFiles(_key_files(pipeline, settings)))
        directory = await resources.enter_async_context(
            Directory(store.find, SharedCache(redis, keys=keys_of(pipeline)), given=given.find)
        )
        tokens = None
        if issuers := pipeline.spec.access.tokens:
            # What reads and fetches tokens takes half a second to import, which only those wait for who take tokens.
            verifier: type[TokenVerifier] = import_module("cloudscale.access.tokens").TokenVerifier
            tokens = await resources.enter_async_context(
                verifier(issuers, authority_file=settings.certificate_authority_file)
            )
        uses = LastUse(redis, keys_of(pipeline))
        writing = start_task(uses.write_every_minute(), name="last-uses")
        try:
            yield Authentication(directory, FailedAttempts(), tokens=tokens, on_use=uses.note)
        finally:
            await cancel_and_wait(writing)
            await _write_the_last(uses)


async def _write_the_last(uses: LastUse) -> None:
    try:
        async with asyncio.timeout(LAST_WRITE_SECONDS):
            await uses.write()
    except (RedisError, OSError, TimeoutError) as error:
        log.info("when some keys were last used is not written: Redis cannot be reached", error=str(error))


def _key_files(pipeline: EventPipeline, settings: Settings) -> list[Path]:
    if pipeline.spec.access.keys is not None and not settings.keys_file:
        log.warning("the keys of spec.access.keys are not here: set the variable to a file", variable=_KEYS_VARIABLE)
    return [Path(each) for each in (settings.first_key_file, settings.keys_file) if each]


class _StoreOnDemand:
    """The directory's container, reached when it is first asked.

    So a service starts without waiting for the store, and does not hold its SDK in memory where nobody has a key.
    """

    def __init__(self, spec: Store, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._container: AccessContainer | None = None
        self._is_there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def find(self, references: Sequence[Reference]) -> Mapping[Reference, Tenant | Key]:
        """Those that are in the store.

        Raises:
            BackendError: it cannot be asked.
        """
        if self._task is None:
            self._task = start_task(self._connect(), name="directory-store")
        if self._container is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._is_there.wait()
        if self._container is None:
            raise BackendUnavailableError("the store has not been reached yet")
        return await self._container.find(references)

    async def _connect(self) -> None:
        container, client = await asyncio.to_thread(_import_sdk)
        while True:
            try:
                async with client.open_client(self._spec, self._settings) as opened:
                    self._container = container.AccessContainer(opened, self._spec)
                    self._is_there.set()
                    await asyncio.Event().wait()
            except (BackendError, ConfigurationError) as error:
                log.warning("keys cannot be looked up yet: the store cannot be reached", error=str(error))
            await asyncio.sleep(CONNECT_INTERVAL_SECONDS)


def _import_sdk() -> tuple[ModuleType, ModuleType]:
    """The modules that need the store's SDK, whose import takes some tenths of a second and 40 MB."""
    return import_module("cloudscale.access.container"), import_module("cloudscale.store.client")
