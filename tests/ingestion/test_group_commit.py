"""Group commit on a real broker and a real cache."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from tests.ingestion.client import page_view
from tests.ingestion.queue_contents import queue_contents
from tests.ledger.counting import counted
from tests.servers.servicebus import servicebus_server
from tests.waiting import wait_until

from cloudscale.cache.keys import Keys
from cloudscale.circuit_breaker import CircuitBreaker, CircuitOpenError
from cloudscale.errors import BackendUnavailableError, CloudScaleError
from cloudscale.events.enrichment import Enriched, Origin, enrich
from cloudscale.events.types import EventTypes
from cloudscale.ingestion import group_commit
from cloudscale.ingestion.group_commit import Committed, GroupCommit
from cloudscale.ingestion.pace import Pace
from cloudscale.limits import admission
from cloudscale.limits.admission import Admission
from cloudscale.limits.rates import Budget, Rates, Sender
from cloudscale.pipeline import Queue
from cloudscale.queue.sender import EventSender
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tests.ingestion.queue_contents import QueueContents
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = "groups"
CLIENT = "192.0.2.1"
UNLIMITED = Rates(client=Budget(10**6, 10**6), window_limit=10**9, window_milliseconds=60_000)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceBusServer]:
    with servicebus_server(tmp_path_factory.mktemp("broker"), queues=[QUEUE]) as server:
        yield server


@pytest.fixture(scope="module")
def queue(broker: ServiceBusServer) -> Iterator[QueueContents]:
    with queue_contents(broker, QUEUE) as contents:
        yield contents


@pytest.fixture
def keys() -> Keys:
    return Keys(namespace="test", name=uuid.uuid4().hex)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(cache_server.url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sender(broker: ServiceBusServer) -> AsyncIterator[EventSender]:
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=broker.connection_string)
    async with EventSender(Queue(name=QUEUE), settings, pipeline="test") as sender:
        yield sender


def breaker(minimum_calls: int = 100) -> CircuitBreaker:
    return CircuitBreaker(
        failure_ratio=0.5, window=timedelta(seconds=10), minimum_calls=minimum_calls, open_for=timedelta(seconds=10)
    )


@asynccontextmanager
async def committing(
    redis: Redis,
    keys: Keys,
    sender: EventSender,
    *,
    rates: Rates = UNLIMITED,
    broker_breaker: CircuitBreaker | None = None,
    pace: Pace | None = None,
) -> AsyncIterator[GroupCommit]:
    limits = Admission(redis, keys=keys, rates=rates, idempotency_ms=60_000, breaker=breaker())
    broker_breaker = broker_breaker or breaker()
    async with GroupCommit(limits, [sender], breaker=broker_breaker, events_per_message=100, pace=pace) as groups:
        yield groups


def new_event(**fields: Any) -> Enriched:
    event = page_view(**fields)
    return enrich(event, EventTypes().check(event), Origin(CLIENT, "c", datetime.now(UTC)))


async def submit(groups: GroupCommit, *events: Enriched) -> Committed:
    outcome = await groups.submit(Sender(CLIENT), events, arrived_at=time.perf_counter())
    assert isinstance(outcome, Committed)
    return outcome


def ids(events: Sequence[Enriched]) -> set[str]:
    return {event.event_id for event in events}


async def test_requests_that_arrive_together_travel_together(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    events = [new_event() for _ in range(150)]
    async with committing(redis, keys, sender) as groups:
        outcomes = await asyncio.gather(*(submit(groups, event) for event in events))

    assert {outcome.failure for outcome in outcomes} == {None}
    messages = queue.drain_messages()
    assert [len(message) for message in messages] == [100, 50]
    assert {event["id"] for message in messages for event in message} == ids(events)


async def test_requests_that_come_soon_after_a_group_wait_for_each_other(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    async with committing(redis, keys, sender, pace=Pace(lone_seconds=1.0, longest_seconds=1.0)) as groups:
        await submit(groups, new_event())
        earlier = asyncio.create_task(submit(groups, new_event()))
        await asyncio.sleep(0)
        await asyncio.gather(earlier, submit(groups, new_event()))

    assert [len(message) for message in queue.drain_messages()] == [1, 2]


async def test_a_few_hundred_requests_a_second_share_messages(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    events = [new_event() for _ in range(450)]
    async with committing(redis, keys, sender) as groups:
        clock = asyncio.get_running_loop().time
        due, requests = clock(), []
        for event in events:
            due += 1 / 225
            await asyncio.sleep(due - clock())
            requests.append(asyncio.create_task(submit(groups, event)))
        await asyncio.gather(*requests)

    messages = queue.drain_messages()
    assert sum(map(len, messages)) == len(events)
    assert len(messages) < len(events) / 2


async def test_a_full_group_does_not_wait(sender: EventSender, redis: Redis, keys: Keys) -> None:
    for_ever = Pace(lone_seconds=3600.0, longest_seconds=3600.0)
    async with committing(redis, keys, sender, pace=for_ever) as groups, asyncio.timeout(30):
        await submit(groups, new_event())
        outcomes = await asyncio.gather(*(submit(groups, new_event()) for _ in range(group_commit.FULL_GROUP_REQUESTS)))

    assert {outcome.failure for outcome in outcomes} == {None}


async def test_a_key_that_is_in_the_group_already_waits_for_the_next(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    event = page_view()
    async with committing(redis, keys, sender) as groups:
        outcomes = await asyncio.gather(
            submit(groups, new_event(**event)),
            submit(groups, new_event(**event)),
            submit(groups, new_event(**{**event, "url": "https://example.com/other"})),
        )

    assert [list(outcome.states) for outcome in outcomes] == [["new"], ["duplicate"], ["conflict"]]
    assert outcomes[1].first_ids == [event["eventId"]]
    assert len(queue.drain()) == 1


async def test_a_cancelled_request_does_not_harm_its_group(
    broker: ServiceBusServer, queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    events = [new_event() for _ in range(3)]
    broker.set_faults(delayMilliseconds=200)
    try:
        async with committing(redis, keys, sender) as groups:
            requests = [asyncio.create_task(submit(groups, event)) for event in events]
            await wait_until(lambda: redis.hexists(keys.inflight, events[1].field), within=timedelta(seconds=10))
            requests[1].cancel()
            answers = await asyncio.gather(*requests, return_exceptions=True)
            assert groups.in_flight == 0
    finally:
        broker.set_faults()

    assert isinstance(answers[1], asyncio.CancelledError)
    assert [answer.failure for answer in answers if isinstance(answer, Committed)] == [None, None]
    assert {event["id"] for event in queue.drain()} == ids(events)


async def test_a_request_that_is_cancelled_before_its_group_starts_is_not_sent(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    async with committing(redis, keys, sender) as groups:
        request = asyncio.ensure_future(submit(groups, new_event()))
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        kept = new_event()
        await submit(groups, kept)

    assert {event["id"] for event in queue.drain()} == {kept.event_id}


async def test_closing_commits_what_waits_and_takes_no_more(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    events = [new_event() for _ in range(20)]
    async with committing(redis, keys, sender) as groups:
        requests = [asyncio.create_task(submit(groups, event)) for event in events]
        await asyncio.sleep(0)

    assert {(await request).failure for request in requests} == {None}
    assert {event["id"] for event in queue.drain()} == ids(events)
    assert await counted(redis, keys, "accepted") == 20
    with pytest.raises(CloudScaleError, match="stopping"):
        await submit(groups, new_event())


async def test_an_acknowledgement_is_written_down_though_no_other_group_comes(
    sender: EventSender, redis: Redis, keys: Keys
) -> None:
    event = new_event()

    async def is_written_down() -> bool:
        entry = await redis.hget(keys.inflight, event.field)
        return isinstance(entry, bytes) and entry.startswith(b"c")

    async with committing(redis, keys, sender) as groups:
        await submit(groups, event)
        await wait_until(is_written_down, within=timedelta(seconds=10))


async def test_a_send_that_fails_is_no_acceptance_and_its_retry_is_new(
    broker: ServiceBusServer, queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    event = page_view()
    async with committing(redis, keys, sender) as groups:
        broker.set_faults(throttle=True)
        try:
            refused = await submit(groups, new_event(**event))
            reserved = await redis.hlen(keys.inflight)
        finally:
            broker.set_faults()
        # Corrected by its client meanwhile: beside its own reservation that would be a conflict.
        retried = await submit(groups, new_event(**{**event, "url": "https://example.com/corrected"}))

    assert isinstance(refused.failure, BackendUnavailableError)
    assert reserved == 0
    assert (list(retried.states), retried.failure) == (["new"], None)
    assert len(queue.drain()) == 1


@asynccontextmanager
async def refused_while_the_cache_is_paused(
    broker: ServiceBusServer, groups: GroupCommit, redis: Redis, keys: Keys
) -> AsyncIterator[asyncio.Task[Committed]]:
    """A request whose reservation is made, whose send fails, and whose release waits for the cache."""
    event = new_event()
    broker.set_faults(throttle=True, delayMilliseconds=200)
    try:
        request = asyncio.create_task(submit(groups, event))
        await wait_until(lambda: redis.hexists(keys.inflight, event.field), within=timedelta(seconds=10))
        await redis.client_pause(30_000, all=False)
        yield request
    finally:
        broker.set_faults()
        await redis.client_unpause()


async def test_a_group_that_fails_is_answered_after_its_reservations_are_released(
    broker: ServiceBusServer, sender: EventSender, redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "RELEASE_SECONDS", 20)
    opening = breaker(minimum_calls=1)

    async def has_failed() -> bool:
        return opening.state == "open"

    async with committing(redis, keys, sender, broker_breaker=opening) as groups:
        async with refused_while_the_cache_is_paused(broker, groups, redis, keys) as request:
            await wait_until(has_failed, within=timedelta(seconds=10))
            was_answered = request.done()
        refused = await request
        reserved = await redis.hlen(keys.inflight)

    assert not was_answered
    assert isinstance(refused.failure, BackendUnavailableError)
    assert reserved == 0


async def test_a_refusal_does_not_wait_long_for_a_cache_that_does_not_answer(
    broker: ServiceBusServer, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    async with committing(redis, keys, sender) as groups:
        async with refused_while_the_cache_is_paused(broker, groups, redis, keys) as request:
            paused = asyncio.ensure_future(redis.set(keys.prefix + "paused", 1))
            async with asyncio.timeout(15):
                refused = await request
            was_paused = not paused.done()
        await paused

    assert isinstance(refused.failure, BackendUnavailableError)
    assert was_paused


async def test_an_open_breaker_refuses_without_trying(sender: EventSender, redis: Redis, keys: Keys) -> None:
    opened = breaker(minimum_calls=1)
    opened.record_failure()
    async with committing(redis, keys, sender, broker_breaker=opened) as groups:
        with pytest.raises(CircuitOpenError):
            await submit(groups, new_event())

        assert (await submit(groups)).failure is None


async def test_a_limited_request_is_not_sent(
    queue: QueueContents, sender: EventSender, redis: Redis, keys: Keys
) -> None:
    queue.drain()
    rates = Rates(client=Budget(2, 0.001), window_limit=10**9, window_milliseconds=60_000)
    async with committing(redis, keys, sender, rates=rates) as groups:
        outcomes = await asyncio.gather(
            *(groups.submit(Sender(CLIENT), [new_event()], arrived_at=time.perf_counter()) for _ in range(5))
        )

    assert [outcome.allowance.refused_by for outcome in outcomes] == [None, None, "client", "client", "client"]
    assert len(queue.drain()) == 2


async def test_a_mistake_in_the_code_answers_every_request_of_the_group(
    sender: EventSender, redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(bodies: Sequence[bytes]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sender, "send", fail)
    async with committing(redis, keys, sender) as groups:
        answers = await asyncio.gather(*(submit(groups, new_event()) for _ in range(3)), return_exceptions=True)
        monkeypatch.undo()
        recovered = await submit(groups, new_event())

    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 3
    assert recovered.failure is None
