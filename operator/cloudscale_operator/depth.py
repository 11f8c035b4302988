"""Reads how deep each pipeline's queue is, each at its own interval, and keeps the last reading."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from cloudscale.cache.connection import NO_RETRIES, open_redis
from cloudscale.cache.keys import Keys
from cloudscale.errors import CloudScaleError, ConfigurationError, CredentialError
from cloudscale.ledger.backlog import BacklogReader
from cloudscale.ledger.shared_depth import SharedDepth
from cloudscale.queue.administration import QueueAdministration
from cloudscale.settings import Settings
from cloudscale.tasks import cancel_and_wait, start_task
from cloudscale_operator import metrics
from cloudscale_operator.timing import DEFAULT_TIMING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime, timedelta
    from pathlib import Path

    from redis.asyncio import Redis

    from cloudscale.ledger.backlog import Backlog
    from cloudscale.pipeline import Queue
    from cloudscale_operator.children import PipelineKey
    from cloudscale_operator.entra import Identity, PipelineCredential
    from cloudscale_operator.timing import Timing

log = structlog.get_logger(__name__)

RECENT_READINGS = 8
"""Enough for a drain to see that a queue has stayed empty."""


@dataclass(frozen=True)
class Source:
    """Where and how often a depth is read; a changed source starts a new reader."""

    queue: Queue
    connection_string: str
    redis_url: str
    """Of the ledger, which tells how many events the messages hold."""
    authority: str
    interval: timedelta
    identity: Identity | None = None
    """Who reads it, if there is no connection string."""


@dataclass(frozen=True)
class Reading:
    """What was read last: either a backlog, or the reason why there is none."""

    at: datetime
    backlog: Backlog | None
    error: str = ""


class DepthReaders:
    """One task for each pipeline, as an async context manager that ends them all.

    ``changed`` is called after each reading. ``directory`` is where certificate authorities are written, because the
    SDK wants them in files. ``credential`` gives the tokens of a pipeline that has no connection string; without it
    there are none.
    """

    def __init__(
        self,
        changed: Callable[[PipelineKey], None],
        *,
        directory: Path,
        credential: Callable[[Identity], PipelineCredential] | None = None,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._timing = timing
        self._changed = changed
        self._directory = directory
        self._credential = credential
        self._sources: dict[PipelineKey, Source] = {}
        self._tasks: dict[PipelineKey, asyncio.Task[None]] = {}
        self._recent: dict[PipelineKey, deque[Reading]] = {}

    async def __aenter__(self) -> DepthReaders:
        return self

    async def __aexit__(self, *_: object) -> None:
        for key in list(self._tasks):
            await self.forget(key)

    async def ensure(self, key: PipelineKey, source: Source) -> None:
        """Read from this source from now on."""
        if self._sources.get(key) == source and not self._tasks[key].done():
            return
        await self._stop(key)
        self._sources[key] = source
        self._tasks[key] = start_task(self._read_on(key, source), name=f"depth of {key.namespace}/{key.name}")

    @property
    def is_idle(self) -> bool:
        """Whether no depth is read at all."""
        return not self._tasks

    def latest(self, key: PipelineKey) -> Reading | None:
        """The last reading, None before the first."""
        recent = self._recent.get(key)
        return recent[-1] if recent else None

    def recent(self, key: PipelineKey) -> tuple[Reading, ...]:
        """The last readings, the latest at the end."""
        return tuple(self._recent.get(key, ()))

    async def forget(self, key: PipelineKey) -> None:
        """Stop reading."""
        await self._stop(key)
        self._recent.pop(key, None)
        metrics.forget(key.namespace, key.name)

    async def _stop(self, key: PipelineKey) -> None:
        self._sources.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            await cancel_and_wait(task)

    async def _read_on(self, key: PipelineKey, source: Source) -> None:
        while True:
            try:
                async with AsyncExitStack() as exits:
                    credential = None
                    if not source.connection_string:
                        credential = await exits.enter_async_context(self._tokens(source.identity))
                    administration = QueueAdministration(source.queue, self._settings(source), credential=credential)
                    await exits.enter_async_context(administration)
                    await self._read_while_it_works(key, source, administration)
            except CloudScaleError as error:
                self._note(key, Reading(self._timing.now(), None, str(error)))
            except Exception as error:
                # Logged, shown in the status and tried again: a reader that ended would leave the last depth there for
                # good.
                log.exception("the depth could not be read", namespace=key.namespace, pipeline=key.name)
                text = f"a defect of the operator; its log has the traceback: {type(error).__name__}: {error}"
                self._note(key, Reading(self._timing.now(), None, text))
            await asyncio.sleep(source.interval.total_seconds())

    def _tokens(self, identity: Identity | None) -> PipelineCredential:
        # Never the operator's own: the author of a pipeline could borrow its rights by naming another's namespace.
        if identity is None or self._credential is None:
            raise ConfigurationError("the pipeline has neither a connection string nor an identity to read the queue")
        return self._credential(identity)

    async def _read_while_it_works(self, key: PipelineKey, source: Source, administration: QueueAdministration) -> None:
        try:
            await administration.ensure_queue()
        except CredentialError:
            # Reading the depth needs fewer rights than creating the queue, which ingestion may have done.
            log.info(
                "the queue may not be created with this credential",
                namespace=key.namespace,
                pipeline=key.name,
                queue=source.queue.name,
            )
        async with _ledger(source) as redis:
            keys, read = Keys(namespace=key.namespace, name=key.name), administration.depth
            if redis is not None:
                read = SharedDepth(read, redis, keys=keys).read_and_share
            reader = BacklogReader(
                read,
                redis,
                keys=keys,
                events_per_message=source.queue.events_per_message,
            )
            while True:
                # A message may arrive while the broker answers: what is read holds for the moment before.
                asked = self._timing.now()
                backlog = await reader.read()
                metrics.QUEUE_DEPTH.labels(*key).set(backlog.events)
                metrics.QUEUE_MESSAGES.labels(*key).set(backlog.messages)
                metrics.QUEUE_OLDEST.labels(*key).set(backlog.oldest_seconds or 0.0)
                metrics.DEAD_LETTERS.labels(*key).set(backlog.dead_letters)
                self._note(key, Reading(asked, backlog))
                await asyncio.sleep(source.interval.total_seconds())

    def _note(self, key: PipelineKey, reading: Reading) -> None:
        self._recent.setdefault(key, deque(maxlen=RECENT_READINGS)).append(reading)
        self._changed(key)

    def _settings(self, source: Source) -> Settings:
        return Settings(
            pipeline_file="",
            redis_url="",
            servicebus_connection_string=source.connection_string,
            certificate_authority_file=self._authority_file(source.authority),
        )

    def _authority_file(self, authority: str) -> str:
        if not authority:
            return ""
        path = self._directory / f"{hashlib.sha256(authority.encode()).hexdigest()[:16]}.crt"
        if not path.exists():
            path.write_text(authority, encoding="utf-8")
        return str(path)


@asynccontextmanager
async def _ledger(source: Source) -> AsyncIterator[Redis | None]:
    """The Redis with the ledger, None where the Secret has no URL that can be used: messages are known all the same."""
    try:
        redis = open_redis(source.redis_url, retry=NO_RETRIES)
    except ConfigurationError as error:
        log.warning("events cannot be counted without Redis", queue=source.queue.name, error=str(error))
        yield None
        return
    async with redis:
        yield redis
