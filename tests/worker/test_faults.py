"""No event is lost or stored twice, and no healthy one is dead-lettered, whatever goes away in between."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from tests.worker.harness import BREAKER, Harness, end, page_view, purchase

from cloudscale.store.errors import StoreFailureError
from cloudscale.store.events import CreateOutcome, EventStore
from cloudscale.store.latest import EventFilter
from cloudscale.worker import retry_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudscale.store.batches import Batch

LONGER = timedelta(seconds=90)
POINTS = {"page_view": 1, "purchase": 50}

# The SDK leaves a socket to the garbage collector when a connection is cut.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_left_sockets() -> Iterator[None]:
    """Collect them in the test that left them, where the warning is expected."""
    yield
    gc.collect()


async def send_many(harness: Harness, messages: int, events: int = 10) -> int:
    """Send messages with events of some users; how many events."""
    for number in range(messages):
        batch = [
            purchase(f"user-{index % 7}", amount=1.25) if (number + index) % 3 else page_view(f"user-{index % 7}")
            for index in range(events)
        ]
        await harness.send(await harness.accept(batch))
    return messages * events


async def assert_profiles_are_the_sums(harness: Harness, events: int) -> None:
    """Every profile has each of its user's stored events exactly once."""
    stored = await harness.store.find_events(EventFilter(), limit=events + 100)
    assert len(stored) == events

    async def caught_up() -> bool:
        return sum(profile.events for profile in await harness.profiles.top(limit=1000)) >= events

    await harness.until(caught_up)
    for profile in await harness.profiles.top(limit=1000):
        own = [event for event in stored if event["userId"] == profile.user_id]
        assert profile.events == len(own)
        assert profile.score == sum(POINTS[event["eventType"]] for event in own)
        assert profile.purchases.get("EUR", 0) == sum(event.get("amount", 0) for event in own)


@pytest.mark.fault
async def test_workers_killed_at_random_points_lose_and_double_nothing(harness: Harness) -> None:
    events = await send_many(harness, 60)
    for _ in range(4):
        worker = harness.start_process()
        # The start takes a second or two; after that every point of the processing has its chance.
        await asyncio.sleep(1.5 + random.random() * 1.5)
        assert end(worker, signal.SIGKILL) == -signal.SIGKILL
    async with harness.worker():
        await harness.stored(events, within=LONGER)
        await harness.settled()
        await harness.emptied()
        await assert_profiles_are_the_sums(harness, events)
    assert await harness.counter("duplicates") == 0
    assert (await harness.administration.depth()).dead_letters == 0


@pytest.mark.fault
async def test_events_wait_for_a_store_that_is_away(harness: Harness) -> None:
    # A single message that is given up would be dead-lettered.
    await harness.use_queue(maxDeliveryCount=1)
    events = await send_many(harness, 5)
    with capture_logs() as lines:
        async with harness.worker() as worker:
            await harness.stored(events)
            harness.backends.cosmos.kill()
            try:
                events += await send_many(harness, 5)

                async def noticed() -> bool:
                    return any("store" in problem for problem in worker.unready())

                await harness.until(noticed)
            finally:
                harness.backends.cosmos.start()
            await harness.stored(events)
            await harness.settled()
            await harness.emptied()
            await assert_profiles_are_the_sums(harness, events)
    assert (await harness.administration.depth()).dead_letters == 0
    breaker = [line for line in lines if line["event"].startswith("circuit breaker") and line["backend"] == "store"]
    # Probes that fail in between say nothing.
    assert [(line["event"].split(":")[0], line["log_level"]) for line in breaker[:2]] == [
        ("circuit breaker opened", "warning"),
        ("circuit breaker closed", "info"),
    ]


@pytest.mark.fault
async def test_a_store_that_is_away_for_long_costs_no_event_whatever_the_retries_say(harness: Harness) -> None:
    # A single lock that expires dead-letters its message, also of those that were fetched ahead.
    await harness.use_queue(lockDuration="5s", maxDeliveryCount=1)
    harness.processing["retries"] = {"attempts": 1, "initialDelay": "10ms", "factor": 1}
    events = await send_many(harness, 5, events=1)
    async with harness.worker() as worker:
        await harness.stored(events)
        harness.backends.cosmos.kill()
        try:
            events += await send_many(harness, 300, events=1)

            async def given_back() -> bool:
                return any("nothing is received" in problem for problem in worker.unready())

            await harness.until(given_back)
            # Longer than two locks last.
            await asyncio.sleep(12)
        finally:
            harness.backends.cosmos.start()
        await harness.stored(events)
        await harness.settled()
        await harness.emptied()
    assert (await harness.administration.depth()).dead_letters == 0


@pytest.mark.fault
async def test_calls_that_fail_on_a_store_which_takes_others_are_not_blamed_on_single_events(harness: Harness) -> None:
    harness.processing["retries"] = {"attempts": 0, "initialDelay": "10ms", "factor": 1}
    # The breaker would hide how often a call fails beside a probe that does not.
    harness.processing["circuitBreaker"] = {**BREAKER, "minimumCalls": 100_000}
    for number in range(12):
        await harness.send(await harness.accept([page_view(tenantId=f"t{number}")]))
    harness.backends.cosmos.set_faults(failRatio=0.5)
    try:
        async with harness.worker():
            await harness.settled()
    finally:
        harness.backends.cosmos.set_faults()
    await harness.stored(12)
    assert (await harness.administration.depth()).dead_letters == 0


async def test_an_event_that_alone_is_answered_500_is_given_up_at_last(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.01)
    harness.processing["retries"] = {"attempts": 1, "initialDelay": "10ms", "factor": 1}
    good, bad = await harness.accept([page_view("good"), page_view("bad")])
    create = EventStore.create

    async def fail_on_one(store: EventStore, batch: Batch) -> list[CreateOutcome]:
        if any(document["userId"] == "bad" for document in batch.documents):
            raise StoreFailureError("cannot write: the store answered 500")
        return await create(store, batch)

    monkeypatch.setattr(EventStore, "create", fail_on_one)
    async with harness.worker():
        await harness.send([good, bad])
        (letter,) = await harness.dead(1)
        (stored,) = await harness.stored(1)
        await harness.settled()
    assert (letter.reason, letter.attempts) == ("MaxRetriesExceeded", 20)
    assert stored["userId"] == "good"


async def test_a_mistake_of_the_code_while_the_store_is_away_costs_no_event(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = EventStore.create

    async def trip(store: EventStore, batch: Batch) -> list[CreateOutcome]:
        if not await store.accepts_writes():
            raise ZeroDivisionError
        return await create(store, batch)

    monkeypatch.setattr(EventStore, "create", trip)
    async with harness.worker() as worker:

        async def ready() -> bool:
            return worker.unready() == []

        await harness.until(ready)
        harness.backends.cosmos.set_faults(failRatio=1.0)
        try:
            events = await send_many(harness, 3)

            async def given_back() -> bool:
                return any("nothing is received" in problem for problem in worker.unready())

            await harness.until(given_back)
        finally:
            harness.backends.cosmos.set_faults()
        await harness.stored(events)
        await harness.settled()
    assert (await harness.administration.depth()).dead_letters == 0


@pytest.mark.fault
@pytest.mark.parametrize(
    "plan",
    [
        {"delayMilliseconds": 200},
        {"failRatio": 0.3},
        {"throttleRatio": 0.5, "retryAfterMilliseconds": 20},
        {"failRatio": 0.1, "throttleRatio": 0.2, "delayMilliseconds": 20},
    ],
)
async def test_a_store_that_is_slow_or_refuses_some_calls_costs_no_event(
    harness: Harness, plan: dict[str, float]
) -> None:
    events = await send_many(harness, 20)
    harness.backends.cosmos.set_faults(**plan)
    try:
        async with harness.worker():
            await harness.settled()
    finally:
        harness.backends.cosmos.set_faults()
    await harness.stored(events)
    assert (await harness.administration.depth()).dead_letters == 0


@pytest.mark.fault
async def test_a_write_whose_answer_is_lost_is_stored_once_and_settled(harness: Harness) -> None:
    async with harness.worker():
        await harness.stored(await send_many(harness, 1))
        harness.backends.cosmos.set_faults(dropAnswers=True)
        try:
            events = 10 + await send_many(harness, 1)
            await asyncio.sleep(1)
        finally:
            harness.backends.cosmos.set_faults()
        await harness.stored(events)
        await harness.settled()
    assert await harness.counter("duplicates") == 0


@pytest.mark.fault
async def test_events_are_stored_while_redis_is_away_and_settled_when_it_is_back(harness: Harness) -> None:
    first = await harness.accept([page_view() for _ in range(12)], address="198.51.100.1")
    async with harness.worker():
        harness.backends.redis.kill()
        try:
            await harness.send(first)
            stored = await harness.stored(12)
        finally:
            harness.backends.redis.start()
        assert sum(event["suspicious"] for event in stored) == 2
        await harness.send(await harness.accept([page_view()]))
        await harness.stored(13)
        await harness.settled()


@pytest.mark.fault
async def test_a_worker_that_is_told_to_stop_settles_what_it_holds_and_gives_back_the_rest(harness: Harness) -> None:
    harness.processing["concurrency"] = {"steps": [{"depth": 0, "limit": 2}], "interval": "1s"}
    events = await send_many(harness, 150, events=2)
    worker = harness.start_process()

    async def begun() -> bool:
        return await harness.store.count() > 0

    await harness.until(begun)
    assert end(worker) == 0
    stored = await harness.store.count()
    depth = await harness.administration.depth()
    assert stored + 2 * depth.active == events
    assert await harness.in_flight() == events - stored
    async with harness.worker():
        await harness.stored(events)
        await harness.settled()
    assert await harness.counter("duplicates") == 0


@pytest.mark.fault
async def test_a_worker_that_is_told_to_stop_while_the_store_is_away_gives_its_messages_back(harness: Harness) -> None:
    events = await send_many(harness, 2)
    async with harness.worker() as worker:
        await harness.stored(events)
        harness.backends.cosmos.set_faults(failRatio=1.0)
        try:
            events += await send_many(harness, 2)

            async def noticed() -> bool:
                return any("store" in problem for problem in worker.unready())

            await harness.until(noticed)
            worker.stopping.set()
        finally:
            harness.backends.cosmos.set_faults()
    # A last try may have come through when the store was back, so not both need to be in the queue.
    depth = await harness.administration.depth()
    assert depth.active >= 1
    assert await harness.store.count() + 10 * depth.active == events
    assert depth.dead_letters == 0
    async with harness.worker():
        await harness.stored(events)
        await harness.settled()


@pytest.mark.fault
async def test_a_broker_that_is_killed_is_connected_again(harness: Harness) -> None:
    events = await send_many(harness, 2)
    async with harness.worker():
        await harness.stored(events)
        harness.backends.broker.kill()
        harness.backends.broker.start()
        await harness.reconnect()
        events += await send_many(harness, 2)
        await harness.stored(events)
        await harness.settled()


async def test_locks_are_renewed_while_the_store_is_slow(harness: Harness) -> None:
    # A single lock that is lost would dead-letter its message.
    await harness.use_queue(lockDuration="5s", maxDeliveryCount=1)
    async with harness.worker():
        events = await send_many(harness, 1)
        await harness.stored(events)
        harness.backends.cosmos.set_faults(failRatio=1.0)
        try:
            events += await send_many(harness, 1)
            await asyncio.sleep(8)
            assert (await harness.administration.depth()).active == 1
        finally:
            harness.backends.cosmos.set_faults()
        await harness.stored(events)
        await harness.emptied()
    assert (await harness.administration.depth()).dead_letters == 0
