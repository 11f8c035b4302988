"""Builds one process of ingestion from its resource and settings, and takes it down in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import structlog
from redis.exceptions import RedisError

from cloudscale.access.opening import access_mode, open_authentication
from cloudscale.access.sightings import Sightings
from cloudscale.cache.connection import NO_RETRIES, open_redis
from cloudscale.cache.keys import keys_of
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.errors import BackendError
from cloudscale.events.types import EventTypes
from cloudscale.ingestion.callers import Callers
from cloudscale.ingestion.group_commit import GroupCommit
from cloudscale.ingestion.intake import Intake
from cloudscale.ingestion.queue_depth import RecentQueueDepth
from cloudscale.ingestion.request_rate import RequestRate
from cloudscale.ledger.backlog import BacklogReader
from cloudscale.ledger.shared_depth import SharedDepth
from cloudscale.limits.admission import Admission
from cloudscale.limits.rates import rates_of
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.sender import EventSender
from cloudscale.tasks import cancel_and_wait, gather_all, start_task
from cloudscale.telemetry import figures, metrics, tracing
from cloudscale.telemetry.refusals import RefusalStore
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings

log = structlog.get_logger(__name__)

GROUPS_IN_FLIGHT = 2
"""Two keep the tail down: while the broker works on one group, Redis works on the next."""

BEHIND_EVENTS = 5000
"""So many events in the queue take the workers longer than a group can wait."""

REDIS_SECONDS = 0.25
CONNECT_INTERVAL_SECONDS = 1.0
PING_INTERVAL_SECONDS = 1.0


class IngestionService:
    """The resources of one ingestion process."""

    def __init__(self, pipeline: EventPipeline, settings: Settings) -> None:
        self.intake: Intake
        """There from :meth:`start` on."""
        self.callers: Callers
        """Finds out who sends. There from :meth:`start` on."""
        self.access_required = access_mode(pipeline.spec, settings) == "Required"
        self._process = figures.process_name()
        self._pipeline = pipeline
        self._spec = pipeline.spec
        self._settings = settings
        self._resources = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._redis: Redis
        self._administration: QueueAdministration
        self._depth: RecentQueueDepth
        self._refused: RefusalStore
        self._sightings: Sightings
        self._senders: list[EventSender] = []
        self._queue_is_there = False
        self._cache_was_there = False
        self._is_draining = False
        self.request_rate = RequestRate(metrics.count_of_responses)
        self._broker_breaker = CircuitBreaker(
            backend="broker", failure_ratio=0.5, window=timedelta(seconds=10), minimum_calls=2,
            open_for=timedelta(seconds=1),
        )  # fmt: skip
        self._cache_breaker = CircuitBreaker(
            backend="cache", failure_ratio=0.5, window=timedelta(seconds=10), minimum_calls=2,
            open_for=timedelta(seconds=1),
        )  # fmt: skip

    async def start(self) -> None:
        """Build the parts and begin to connect; backends that are away now are tried until they are there.

        Raises:
            ConfigurationError: a connection string is missing or cannot be used.
        """
        keys, rates = keys_of(self._pipeline), rates_of(self._spec.ingestion.rate_limits)
        # Requests do not wait for Redis to come back: this process limits them alone until it does.
        self._redis = open_redis(self._settings.redis_url, seconds=REDIS_SECONDS, retry=NO_RETRIES)
        self._resources.push_async_callback(self._redis.aclose)
        self._administration = await self._resources.enter_async_context(
            QueueAdministration(self._spec.queue, self._settings)
        )
        backlog = BacklogReader(
            SharedDepth(self._administration.depth, self._redis, keys=keys).read,
            self._redis,
            keys=keys,
            events_per_message=self._spec.queue.events_per_message,
        )
        self._depth = RecentQueueDepth(backlog.read)
        self._senders = [
            await self._resources.enter_async_context(
                EventSender(self._spec.queue, self._settings, pipeline=self._pipeline.metadata.name)
            )
            for _ in range(GROUPS_IN_FLIGHT)
        ]
        self._resources.push_async_callback(self._disconnect)
        idempotency = parse_duration(self._spec.ingestion.idempotency.time_to_live)
        groups = await self._resources.enter_async_context(
            GroupCommit(
                Admission(
                    self._redis,
                    keys=keys,
                    rates=rates,
                    idempotency_ms=round(idempotency.total_seconds() * 1000),
                    breaker=self._cache_breaker,
                ),
                self._senders,
                breaker=self._broker_breaker,
                events_per_message=self._spec.queue.events_per_message,
                is_behind=lambda: self._depth.events >= BEHIND_EVENTS,
            )
        )
        self.intake = self._intake_of(groups)
        authentication = await self._resources.enter_async_context(
            open_authentication(self._pipeline, self._settings, self._redis)
        )
        self.callers = Callers(authentication, rates.tenant, required=self.access_required)
        self._refused = RefusalStore(self._redis, key_prefix=keys.refused)
        self._sightings = Sightings(self._redis, keys=keys)
        self._tasks = [
            start_task(self._connect(), name="connect"),
            start_task(self._depth.watch(), name="queue-depth"),
            start_task(self._watch_cache(), name="cache"),
            start_task(self.request_rate.sample_every_second(), name="request-rate"),
            start_task(self.intake.refusals.write_every_second(self._refused), name="refusals"),
            start_task(self.intake.devices.write_now_and_then(self._sightings), name="devices"),
            start_task(
                figures.publish_every_second(self._redis, "ingestion", process=self._process, key=keys.figures),
                name="figures",
            ),
        ]

    def _intake_of(self, groups: GroupCommit) -> Intake:
        ingestion = self._spec.ingestion
        # The bound is the replica's, which its processes share.
        share = max(1, ingestion.shed_above.in_flight // self._settings.processes)
        shedding = msgspec.structs.replace(ingestion.shed_above, in_flight=share)
        traces = tracing.start(self._pipeline, "ingestion")
        if traces is not None:
            self._resources.push_async_callback(asyncio.to_thread, traces.close)
        return Intake(
            groups,
            depth=self._depth,
            spec=msgspec.structs.replace(ingestion, shed_above=shedding),
            types=EventTypes(self._spec.event_types),
            buckets=self._spec.store.partition_buckets,
            tracing=traces,
        )

    def prepare_to_stop(self) -> None:
        """Turn unready, so that no new requests are sent here; those that still come are answered as always."""
        self._is_draining = True

    async def stop(self) -> None:
        """Refuse new requests, commit what waits, close the connections."""
        self.intake.draining = True
        await cancel_and_wait(*self._tasks)
        await self.intake.refusals.write(self._refused)
        await self.intake.devices.write(self._sightings)
        await self._resources.aclose()
        metrics.publish_responses()
        log.info("ingestion stopped")

    def unready(self) -> list[str]:
        """What keeps this process from taking events at present; empty when it is ready."""
        problems = []
        if self._is_draining:
            problems.append("draining")
        if not self._queue_is_there:
            problems.append("the queue has not been reached yet")
        elif self._broker_breaker.state == "open":
            problems.append("the broker does not take messages: its circuit breaker is open")
        if not self._cache_was_there:
            # Later it may go away: requests go on without it, and unready replicas would get none.
            problems.append("Redis has not been reached yet")
        return problems

    async def _disconnect(self) -> None:
        """Close the links side by side, because the SDK takes most of a second for one."""
        await asyncio.gather(*(sender.disconnect() for sender in self._senders))

    async def _connect(self) -> None:
        """Make sure of the queue and open the links, so that the first request does not wait for it."""
        while True:
            try:
                if await self._administration.ensure_queue():
                    log.info("created the queue", queue=self._spec.queue.name)
            except BackendError as error:
                log.warning("the queue cannot be looked up or created", error=str(error))
            try:
                await gather_all(sender.connect() for sender in self._senders)
            except BackendError as error:
                log.warning("the broker cannot be reached yet", error=str(error))
                await asyncio.sleep(CONNECT_INTERVAL_SECONDS)
            else:
                self._queue_is_there = True
                return

    async def _watch_cache(self) -> None:
        while True:
            try:
                await self._redis.ping()
            except (RedisError, OSError, TimeoutError):
                metrics.CACHE_AVAILABLE.set(0)
            else:
                self._cache_was_there = True
                metrics.CACHE_AVAILABLE.set(1)
            await asyncio.sleep(PING_INTERVAL_SECONDS)
