"""Builds a worker from its resource and settings, and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.errors import BackendUnavailableError, CredentialError
from cloudscale.events.types import EventTypes
from cloudscale.ledger.backlog import BacklogReader
from cloudscale.ledger.settling import Ledger
from cloudscale.ledger.shared_depth import SharedDepth
from cloudscale.queue.administration import QueueAdministration
from cloudscale.queue.connection import open_client
from cloudscale.queue.outbox import Outbox
from cloudscale.queue.receiver import MessageReceiver
from cloudscale.store.alerts import AlertStore
from cloudscale.store.events import EventStore
from cloudscale.store.feed import EventFeed
from cloudscale.store.leases import LeaseStore
from cloudscale.store.passes import Passes
from cloudscale.store.profiles import ProfileStore
from cloudscale.store.ranges import OwnedRanges
from cloudscale.tasks import cancel_and_wait
from cloudscale.telemetry import figures, metrics, tracing
from cloudscale.telemetry.http import serve
from cloudscale.units import parse_duration
from cloudscale.worker.carts import CartWatch
from cloudscale.worker.concurrency_limiter import ConcurrencyLimiter, turn_messages
from cloudscale.worker.fraud import fraud_check
from cloudscale.worker.lanes import Lane
from cloudscale.worker.processing import Processor
from cloudscale.worker.projection import Projection
from cloudscale.worker.retry_policy import InterruptedByStopError, StoreRetryPolicy
from cloudscale.worker.writing import EventWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings
    from cloudscale.telemetry.tracing import Tracing

log = structlog.get_logger(__name__)

T = TypeVar("T")

LANES = 2
"""Enough that one receives and decodes while the other waits for the store; more only divide the same core."""

CONNECT_AGAIN_SECONDS = 1.0
WATCH_SECONDS = 1.0


class Worker:
    """One worker process: builds its parts, runs them, and takes them down in reverse.

    Setting ``stopping`` ends it: what is held is finished, what was fetched ahead goes back to the queue.
    """

    def __init__(self, pipeline: EventPipeline, settings: Settings) -> None:
        self.stopping = asyncio.Event()
        self.process = figures.process_name()
        """This worker's name, under which it owns leases and publishes figures."""
        self._pipeline = pipeline
        self._spec = pipeline.spec
        self._settings = settings
        self._lanes: list[Lane] = []
        self._projecting: Passes
        processing = self._spec.processing
        self._store_breaker = CircuitBreaker(
            backend="store",
            failure_ratio=processing.circuit_breaker.failure_ratio,
            window=parse_duration(processing.circuit_breaker.window),
            minimum_calls=processing.circuit_breaker.minimum_calls,
            open_for=parse_duration(processing.circuit_breaker.open_for),
        )
        # An outage of the cache costs little: this only keeps each group from waiting for it again.
        self._cache_breaker = CircuitBreaker(
            backend="cache",
            failure_ratio=0.5,
            window=timedelta(seconds=10),
            minimum_calls=2,
            open_for=timedelta(seconds=1),
        )

    async def run(self) -> None:
        """Work until ``stopping`` is set.

        Raises:
            ConfigurationError: a connection string is missing or cannot be used.
            CredentialError: the store refuses the credential.
        """
        settings = self._settings
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(serve(settings.host, settings.metrics_port, unready=self.unready))
            try:
                background = await self._build(exits)
            except InterruptedByStopError:
                return
            await self._work(background)
        log.info("worker stopped")

    async def _work(self, background: Iterable[Coroutine[None, None, None]]) -> None:
        """Run everything until the lanes have stopped and the profiles have caught up; whatever fails ends it all."""
        lanes_stopped = asyncio.Event()
        lanes = [asyncio.create_task(lane.run()) for lane in self._lanes]
        projecting = asyncio.create_task(self._projecting.run(lanes_stopped))

        async def finish() -> None:
            await asyncio.gather(*lanes)
            # Only now is all stored that this worker will store, so the profiles can catch up for good.
            lanes_stopped.set()
            await projecting

        finishing = asyncio.create_task(finish())
        tasks = [*lanes, projecting, finishing, *map(asyncio.create_task, background)]
        pending = set(tasks)
        try:
            while not finishing.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            await cancel_and_wait(*tasks)

    def unready(self) -> list[str]:
        """What keeps this worker from processing events at present."""
        problems = []
        lanes = self._lanes
        if lanes and all(lane.waits_for_store for lane in lanes):
            problems.append("the store is away: nothing is received until it is back")
        elif not any(lane.connected for lane in lanes):
            problems.append("not connected to the broker")
        if any(lane.is_stalled for lane in lanes):
            problems.append("messages wait in the queue and none is received, also over new connections")
        if self._store_breaker.state == "open":
            problems.append("the store is failing: its circuit breaker is open")
        if self.stopping.is_set():
            problems.append("stopping")
        return problems

    async def _build(self, exits: AsyncExitStack) -> list[Coroutine[None, None, None]]:
        """Connect to the backends and make the lanes; what is to run beside them."""
        spec, settings = self._spec, self._settings
        keys = keys_of(self._pipeline)
        administration = await exits.enter_async_context(QueueAdministration(spec.queue, settings))
        redis = open_redis(settings.redis_url)
        exits.push_async_callback(redis.aclose)
        backlog = BacklogReader(
            SharedDepth(administration.depth, redis, keys=keys).read,
            redis,
            keys=keys,
            events_per_message=spec.queue.events_per_message,
        )
        limiter = ConcurrencyLimiter(spec.processing.concurrency, backlog)
        retry_policy = StoreRetryPolicy(
            spec.processing.retries,
            breaker=self._store_breaker,
            stopping=self.stopping,
            limiter=limiter,
            lock_seconds=parse_duration(spec.queue.lock_duration).total_seconds(),
        )
        store = await self._retry_connecting(lambda: exits.enter_async_context(EventStore(spec.store, settings)))
        await self._retry_connecting(store.ensure)
        await self._ensure_queue(administration)
        client = await exits.enter_async_context(open_client(spec.queue, settings, retries=1))
        ledger = Ledger(redis, keys=keys, breaker=self._cache_breaker)
        exits.push_async_callback(ledger.flush)
        processor = Processor(
            validate=EventTypes(spec.event_types).problem_of,
            fraud=fraud_check(spec.processing.fraud, redis, keys=keys, breaker=self._cache_breaker),
            writer=EventWriter(store, retry_policy),
            retry_policy=retry_policy,
            alerts=AlertStore(store),
            carts=self._cart_watch(store),
            outbox=await exits.enter_async_context(Outbox(client, spec.queue.name)),
            ledger=ledger,
            tracing=self._traces(exits),
        )
        feed = await self._retry_connecting(lambda: exits.enter_async_context(EventFeed(spec.store, settings)))
        self._projecting = Passes(
            feed,
            OwnedRanges(feed, LeaseStore(store), owner=self.process),
            Projection(ProfileStore(store), scoring=spec.processing.scoring),
        )
        prefetch = spec.processing.prefetch // LANES
        self._lanes = [
            Lane(
                connect=partial(MessageReceiver, client, spec.queue.name, prefetch=prefetch),
                processor=processor,
                turn_messages=partial(turn_messages, limiter, lanes=LANES),
                messages_wait=partial(self._messages_wait, limiter),
                breaker=self._store_breaker,
                stopping=self.stopping,
            )
            for _ in range(LANES)
        ]
        return [
            limiter.watch(),
            self._watch_backends(ledger),
            figures.publish_every_second(redis, "worker", process=self.process, key=keys.figures),
        ]

    def _messages_wait(self, limiter: ConcurrencyLimiter) -> bool:
        """Whether the queue has messages that this worker neither processes nor has fetched ahead."""
        if limiter.messages_in_queue is None:
            return False
        held = sum(lane.held for lane in self._lanes)
        fetched = 2 * self._spec.processing.prefetch if held else 0
        return limiter.messages_in_queue > held + fetched

    def _traces(self, exits: AsyncExitStack) -> Tracing | None:
        traces = tracing.start(self._pipeline, "worker")
        if traces is not None:
            exits.push_async_callback(asyncio.to_thread, traces.close)
        return traces

    def _cart_watch(self, store: EventStore) -> CartWatch:
        after = parse_duration(self._spec.processing.actions.cart_abandonment.after)
        return CartWatch(store, after=after, buckets=self._spec.store.partition_buckets)

    async def _ensure_queue(self, administration: QueueAdministration) -> None:
        try:
            await self._retry_connecting(administration.ensure_queue)
        except CredentialError as error:
            # To send and to listen is enough where the queue is there; where it is not, the receivers say so.
            log.warning("the queue cannot be looked up or created: it has to be there", error=str(error))

    async def _retry_connecting(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Try to connect until a backend that is away is there, since all start at once and in no order.

        Raises:
            InterruptedByStopError: the worker is to stop.
        """
        while True:
            try:
                return await self._unless_stopping(connect)
            except BackendUnavailableError as error:
                log.warning("a backend is away, connecting again", error=str(error))
                try:
                    await asyncio.wait_for(self.stopping.wait(), CONNECT_AGAIN_SECONDS)
                except TimeoutError:
                    continue
                raise InterruptedByStopError("the worker stops while a backend is away") from error

    async def _unless_stopping(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Try once; a backend that does not answer must not hold up a stop until its time is over.

        Raises:
            InterruptedByStopError: the worker is to stop.
        """
        connecting, stopping = asyncio.ensure_future(connect()), asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                raise InterruptedByStopError("told to stop while connecting")
            return connecting.result()
        finally:
            await cancel_and_wait(connecting, stopping)

    async def _watch_backends(self, ledger: Ledger) -> None:
        """Settle what waits for the cache, and show the breakers' states, which change by time alone."""
        while True:
            await ledger.flush()
            metrics.set_breaker_state("store", self._store_breaker.state)
            metrics.CACHE_AVAILABLE.set(self._cache_breaker.state != "open")
            await asyncio.sleep(WATCH_SECONDS)
