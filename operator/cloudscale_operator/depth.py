"""Reads how deep each pipeline's queue is, each at its own interval, and keeps the last reading."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from cloudscale.cache.connection import NO_RETRIES, open_redis
from cloudscale.cache.keys import Keys
from cloudscale.errors import CloudScaleError, ConfigurationError, CredentialError
from cloudscale.ledger.backlog import BacklogReader
from cloudscale.queue.administration import QueueAdministration
from cloudscale.settings import Settings
from cloudscale_operator import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from redis.asyncio import Redis

    from cloudscale.ledger.backlog import Backlog
    from cloudscale.pipeline import Queue
    from cloudscale_operator.children import PipelineKey

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Source:
    """Where and how often a depth is read; a changed source starts a new reader."""

    queue: Queue
    connection_string: str
    redis_url: str
    """Of the ledger, which tells how many events the messages hold."""
    authority: str
    interval: timedelta


@dataclass(frozen=True)
class Reading:
    """What was read last: either a backlog, or the reason why there is none."""

    at: datetime
    backlog: Backlog | None
    error: str = ""


class DepthReaders:
    """One task for each pipeline, as an async context manager that ends them all.

    ``changed`` is called after each reading. ``directory`` is where certificate authorities are written, because the
    SDK wants them in files.
    """

    def __init__(self, changed: Callable[[PipelineKey], None], *, directory: Path) -> None:
        self._changed = changed
        self._directory = directory
        self._sources: dict[PipelineKey, Source] = {}
        self._tasks: dict[PipelineKey, asyncio.Task[None]] = {}
        self._latest: dict[PipelineKey, Reading] = {}

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
        self._tasks[key] = asyncio.create_task(self._read_on(key, source), name=f"depth of {key.namespace}/{key.name}")

    def latest(self, key: PipelineKey) -> Reading | None:
        """The last reading, None before the first."""
        return self._latest.get(key)

    async def forget(self, key: PipelineKey) -> None:
        """Stop reading."""
        await self._stop(key)
        self._latest.pop(key, None)
        metrics.forget(key.namespace, key.name)

    async def _stop(self, key: PipelineKey) -> None:
        self._sources.pop(key, None)
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _read_on(self, key: PipelineKey, source: Source) -> None:
        while True:
            try:
                async with QueueAdministration(source.queue, self._settings(source)) as administration:
                    await self._read_while_it_works(key, source, administration)
            except CloudScaleError as error:
                self._note(key, Reading(datetime.now(UTC), None, str(error)))
            await asyncio.sleep(source.interval.total_seconds())

    async def _read_while_it_works(self, key: PipelineKey, source: Source, administration: QueueAdministration) -> None:
        try:
            await administration.ensure_queue()
        except CredentialError:
            # Reading the depth needs fewer rights than creating the queue, which ingestion may have done.
            log.info("queue_not_ensured", namespace=key.namespace, pipeline=key.name, queue=source.queue.name)
        async with _ledger(source) as redis:
            reader = BacklogReader(
                administration.depth,
                redis,
                keys=Keys(namespace=key.namespace, name=key.name),
                events_per_message=source.queue.events_per_message,
            )
            while True:
                # A message may arrive while the broker answers: what is read holds for the moment before.
                asked = datetime.now(UTC)
                backlog = await reader.read()
                metrics.QUEUE_DEPTH.labels(*key).set(backlog.events)
                metrics.QUEUE_MESSAGES.labels(*key).set(backlog.messages)
                metrics.QUEUE_OLDEST.labels(*key).set(backlog.oldest_seconds or 0.0)
                metrics.DEAD_LETTERS.labels(*key).set(backlog.dead_letters)
                self._note(key, Reading(asked, backlog))
                await asyncio.sleep(source.interval.total_seconds())

    def _note(self, key: PipelineKey, reading: Reading) -> None:
        self._latest[key] = reading
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
        log.warning("events_not_counted", queue=source.queue.name, reason=str(error))
        yield None
        return
    async with redis:
        yield redis
