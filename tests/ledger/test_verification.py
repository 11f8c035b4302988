"""The balance, on a ledger and a store that are written by hand so that each case is exactly what it says."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.servicebus import ServiceBusMessage
from redis.asyncio import Redis
from tests.ledger.counting import add_to
from tests.servers.cosmos import cosmos_server
from tests.servers.redis import redis_server
from tests.servers.servicebus import servicebus_server
from tests.store.creating import create_all

from cloudscale import pipeline
from cloudscale.cache.keys import keys_of
from cloudscale.cache.records import TENANTS_AN_HOUR
from cloudscale.cache.scripts import COUNT_LUA
from cloudscale.commands.verify import render
from cloudscale.ledger import verification
from cloudscale.ledger.dead_letters import DeadLetterLedger
from cloudscale.ledger.verification import Balance, Scope
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client
from cloudscale.queue.dead_letters import DeadLetters
from cloudscale.queue.search import acceptance_of
from cloudscale.settings import Settings
from cloudscale.store.counting import TENANTS_PER_QUERY, count_by_tenant_and_hour
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cloudscale.pipeline import EventPipeline

NOW = time.time()
LONG_AGO = NOW - 120
MAXIMUM_DELIVERIES = 10


@dataclass
class Harness:
    """A pipeline's backends, and the means to write to them."""

    resource: EventPipeline
    settings: Settings
    redis: Redis
    store: EventStore

    async def accept(self, *event_ids: str, tenant: str = "contoso", at: float = LONG_AGO) -> None:
        """Count acceptances, as ingestion does after the broker's acknowledgement."""
        await self.count("accepted", len(event_ids), tenant=tenant, at=at)

    async def accept_unnamed(self, count: int, *, tenant: str = "contoso", at: float = LONG_AGO) -> None:
        """Count acceptances, as ingestion does when Redis is back after an outage."""
        await self.count("accepted-unnamed", count, tenant=tenant, at=at)

    async def count(self, kind: str, number: int = 1, *, tenant: str = "contoso", at: float = LONG_AGO) -> None:
        """Count events of a kind."""
        await add_to(self.redis, keys_of(self.resource), kind, number, tenant=tenant, hour=hour(at))

    async def hold(
        self, event_id: str, *, tenant: str = "contoso", at: float = LONG_AGO, state: str = "c", token: str = ""
    ) -> None:
        """Enter an acceptance in flight, that of :func:`document` unless ``token`` is another one's."""
        field = f"{tenant}\n{event_id}\n{token or event_id + '-token'}"
        await self.redis.hset(keys_of(self.resource).inflight, field, f"{state}{round(at * 1000)}")

    async def persist(self, *event_ids: str, tenant: str = "contoso", at: float = LONG_AGO) -> None:
        """Store events."""
        await create_all(self.store, [document(event_id, tenant, at) for event_id in event_ids])

    async def persist_unnamed(self, *event_ids: str) -> None:
        """Store events that came while Redis was away."""
        await create_all(
            self.store, [document(event_id, "contoso", LONG_AGO) | {"acceptedUnnamed": True} for event_id in event_ids]
        )

    async def bury(self, event_id: str, *, unnamed: bool = False) -> None:
        """Let the broker itself dead-letter an event."""
        event = document(event_id, "contoso", LONG_AGO) | ({"acceptedUnnamed": True} if unnamed else {})
        await self.queue_body(msgspec.json.encode([event]))
        name = self.resource.spec.queue.name
        async with (
            open_client(self.resource.spec.queue, self.settings) as client,
            client.get_queue_receiver(name, keep_alive=NO_KEEP_ALIVE) as receiver,
        ):
            for _ in range(MAXIMUM_DELIVERIES):
                for message in await receiver.receive_messages(max_message_count=1, max_wait_time=5):
                    await receiver.abandon_message(message)

    async def queue(self, event_id: str) -> None:
        """Leave an event in the queue."""
        await self.queue_body(msgspec.json.encode([document(event_id, "contoso", LONG_AGO)]))

    async def queue_body(self, body: bytes) -> None:
        """Leave a message in the queue."""
        name = self.resource.spec.queue.name
        async with (
            open_client(self.resource.spec.queue, self.settings) as client,
            client.get_queue_sender(name, keep_alive=NO_KEEP_ALIVE) as to,
        ):
            await to.send_messages(ServiceBusMessage(body))

    async def verify(self, **scope: Any) -> Balance:
        """Take the balance."""
        return await verification.verify(
            self.resource, self.settings, redis=self.redis, store=self.store, scope=Scope(**scope)
        )


async def discard_all(harness: Harness) -> None:
    """Remove all dead letters, as a person does."""
    ledger = DeadLetterLedger(harness.redis, keys=keys_of(harness.resource))
    async with DeadLetters(harness.resource.spec.queue, harness.settings, ledger=ledger) as letters:
        await letters.discard()


def hour(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H")


def document(event_id: str, tenant: str, at: float) -> dict[str, Any]:
    return {
        "id": event_id,
        "eventId": event_id,
        "tenantId": tenant,
        "partitionKey": f"{tenant}:2026-11",
        "payloadHash": "hash",
        "acceptance": f"{event_id}-token",
        "receivedAt": datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with (
        redis_server(tmp_path_factory.mktemp("redis")) as redis,
        cosmos_server(tmp_path_factory.mktemp("cosmos")) as cosmos,
        servicebus_server(tmp_path_factory.mktemp("broker"), queues=("events-ingestion",)) as broker,
    ):
        yield Settings(
            pipeline_file="",
            redis_url=redis.url,
            servicebus_connection_string=broker.connection_string,
            certificate_authority_file=str(broker.certificate_authority),
            cosmos_connection_string=cosmos.connection_string,
        )


@pytest.fixture
async def harness(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """A ledger and a container of the test's own."""
    name = f"case-{abs(hash(request.node.name)) % 10**9}"
    resource = pipeline.load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": name},
            "spec": {"store": {"container": name}},
        }
    )
    async with AsyncExitStack() as exits:
        redis = await exits.enter_async_context(Redis.from_url(settings.redis_url))
        store = await exits.enter_async_context(EventStore(resource.spec.store, settings))
        await store.ensure()
        yield Harness(resource, settings, redis, store)


async def test_what_is_all_stored_is_proven(harness: Harness) -> None:
    await harness.accept("a", "b")
    await harness.persist("a", "b")

    balance = await harness.verify()

    assert balance.is_proven
    assert balance.lost == 0
    assert (balance.total("accepted"), balance.total("persisted"), balance.total("difference")) == (2, 2, 0)


async def test_duplicates_and_dead_letters_account_for_events_that_are_not_stored(harness: Harness) -> None:
    await harness.accept("a", "b", "c")
    await harness.persist("a")
    await harness.count("duplicates")
    await harness.count("dead")

    assert (await harness.verify()).is_proven


async def test_an_event_that_is_nowhere_is_missing_and_named(harness: Harness) -> None:
    await harness.accept("stored", "gone")
    await harness.persist("stored")
    await harness.hold("gone")

    balance = await harness.verify()

    assert [each.event_id for each in balance.missing] == ["gone"]
    assert balance.lost == 1
    assert not balance.is_proven


async def test_an_event_that_the_ledger_has_lost_too_is_still_counted_as_lost(harness: Harness) -> None:
    await harness.accept("stored", "gone")
    await harness.persist("stored")

    balance = await harness.verify()

    assert balance.missing == []
    assert balance.lost == 1
    assert [each.difference for each in balance.hours] == [1]


async def test_what_was_accepted_while_redis_was_away_and_is_stored_is_proven_by_number(harness: Harness) -> None:
    await harness.accept("named")
    await harness.accept_unnamed(2)
    await harness.persist("named")
    await harness.persist_unnamed("unnamed-1", "unnamed-2")

    balance = await harness.verify()

    assert balance.is_proven
    assert (balance.total("accepted"), balance.total("unnamed"), balance.lost, balance.unaccounted) == (3, 2, 0, 0)
    assert render(balance).endswith(
        "zero lost: also the 2 that were accepted while Redis was away, by number instead of by name"
    )


async def test_what_was_accepted_while_redis_was_away_and_is_not_stored_is_neither_proven_nor_called_lost(
    harness: Harness,
) -> None:
    await harness.accept_unnamed(3)
    await harness.persist_unnamed("unnamed-1")

    balance = await harness.verify()

    assert (balance.lost, balance.unaccounted, balance.missing) == (0, 2, [])
    assert not balance.is_proven
    assert "2 events that were accepted while Redis was away are not stored and have no names" in render(balance)


async def test_an_outage_of_redis_hides_no_event_that_the_ledger_names_or_that_exceeds_it(harness: Harness) -> None:
    await harness.accept("gone", "gone-without-a-trace")
    await harness.accept_unnamed(1)
    await harness.hold("gone")

    balance = await harness.verify()

    assert [each.event_id for each in balance.missing] == ["gone"]
    assert (balance.lost, balance.unaccounted) == (2, 1)
    assert "1 of them cannot be named" in render(balance)


async def test_events_stored_without_a_202_do_not_make_up_for_events_destroyed_while_redis_was_away(
    harness: Harness,
) -> None:
    await harness.accept_unnamed(30)
    await harness.persist_unnamed(*(f"kept-{number}" for number in range(20)))
    await harness.persist(*(f"no-202-{number}" for number in range(20)))

    balance = await harness.verify()

    assert balance.total("difference") == -10
    assert (balance.unaccounted, balance.total("surplus"), balance.lost) == (10, 20, 0)
    assert not balance.is_proven


async def test_events_destroyed_among_named_ones_are_lost_whatever_the_surplus_of_those_without_a_name(
    harness: Harness,
) -> None:
    await harness.accept(*(f"named-{number}" for number in range(10)))
    await harness.persist_unnamed(*(f"no-202-{number}" for number in range(20)))

    balance = await harness.verify()

    assert (balance.lost, balance.total("surplus")) == (10, 20)


async def test_an_event_accepted_while_redis_was_away_and_entered_afterwards_is_missed_by_name(
    harness: Harness,
) -> None:
    await harness.accept_unnamed(2)
    await harness.hold("gone", state="u")
    await harness.persist_unnamed("kept", "no-202")

    balance = await harness.verify()

    assert [each.event_id for each in balance.missing] == ["gone"]
    assert balance.lost == 1


async def test_an_hour_that_an_earlier_version_counted_is_weighed_as_a_whole(harness: Harness) -> None:
    keys = keys_of(harness.resource)
    counter = f"contoso\n{hour(LONG_AGO)}"
    await harness.redis.hset(keys.former_accepted, mapping={counter: 2, f"{counter}\nunnamed": 3})
    await harness.redis.hset(keys.former_duplicates, counter, 1)
    await harness.redis.hset(keys.former_dead_letters, f"{counter}\nValidationFailed", 1)
    await harness.persist("a")
    # Of those without a name one was a duplicate and one a dead letter: the former counters do not say so.
    await harness.persist("b")
    await harness.persist_unnamed("c")

    balance = await harness.verify()

    assert balance.is_proven
    assert balance.total("surplus") == 0


@pytest.mark.parametrize("unnamed", [False, True])
async def test_a_letter_that_the_broker_itself_made_is_a_dead_letter(harness: Harness, *, unnamed: bool) -> None:
    if unnamed:
        await harness.accept_unnamed(1)
    else:
        await harness.accept("often")
        await harness.hold("often")
    await harness.bury("often", unnamed=unnamed)

    balance = await harness.verify()

    assert (balance.total("dead_letters"), balance.total("in_flight"), balance.total("difference")) == (1, 0, 0)
    assert (balance.lost, balance.unaccounted) == (0, 0)
    await discard_all(harness)
    balance = await harness.verify()
    assert (balance.total("dead_letters"), balance.lost, balance.unaccounted) == (1, 0, 0)


async def test_a_replay_stays_balanced_in_the_hour_of_its_receipt(harness: Harness) -> None:
    yesterday = NOW - timedelta(hours=30).total_seconds()
    await harness.accept("again", at=yesterday)
    await harness.count("dead", at=yesterday)
    event = document("again", "contoso", yesterday)
    letter = acceptance_of(event)
    assert letter is not None
    keys = keys_of(harness.resource)
    await harness.redis.hset(keys.dead, letter.field, f"contoso\n{hour(yesterday)}\ndead")

    await DeadLetterLedger(harness.redis, keys=keys).reenter([letter])
    await harness.queue_body(msgspec.json.encode([event]))
    balance = await harness.verify()

    (row,) = balance.hours
    assert (row.hour, row.in_flight, row.dead_letters, row.difference) == (hour(yesterday), 1, 0, 0)
    assert balance.lost == 0


async def test_what_is_stored_and_was_never_settled_is_settled(harness: Harness) -> None:
    await harness.accept("a")
    await harness.hold("a")
    await harness.persist("a")

    await harness.verify()

    assert await harness.redis.hlen(keys_of(harness.resource).inflight) == 0


async def test_tenants_without_bound_take_bounded_queries_and_a_loss_among_them_is_seen(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs of tenant and hour by the hundred thousand, as a client within the limits makes them."""
    hours = [NOW - timedelta(hours=ago).total_seconds() for ago in range(10)]
    thousand = "for n = 1, 1000 do count(KEYS[1], ARGV[1], 'made-up-' .. ARGV[2] .. '-' .. n, 'accepted', 1) end"
    script = harness.redis.register_script(COUNT_LUA + thousand)
    keys = keys_of(harness.resource)
    for at in hours:
        # A thousand at once, because Redis answers nobody else meanwhile.
        for part in range(20):
            await script(keys=[keys.ledger], args=[hour(at), part])
    await harness.accept("a", tenant="latecomer", at=hours[0])
    await harness.persist("a", tenant="latecomer", at=hours[0])
    queries = 0
    original = EventStore._query

    async def one_more(store: EventStore, *arguments: Any, **named: Any) -> Any:
        nonlocal queries
        queries += 1
        return await original(store, *arguments, **named)

    monkeypatch.setattr(EventStore, "_query", one_more)

    balance = await harness.verify()

    assert len(balance.hours) == len(hours) * (TENANTS_AN_HOUR + 1)
    assert (balance.total("accepted"), balance.lost) == (200_001, 200_000)
    assert balance.shared_hours == len(hours)
    ranges = 4
    assert queries <= ranges * (len(hours) * TENANTS_AN_HOUR // TENANTS_PER_QUERY + 2)
    assert "(others)" in render(balance)
    assert (await harness.redis.memory_usage(keys.hour(hour(hours[0])), samples=0) or 0) < 100_000


async def test_a_row_adds_up_or_says_that_it_moves(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.accept("still", tenant="quiet")
    await harness.persist("still", tenant="quiet")
    await harness.accept("a", "b")
    await harness.persist("a")
    original = count_by_tenant_and_hour

    async def while_events_come(*arguments: Any, **named: Any) -> Any:
        found = await original(*arguments, **named)
        await harness.accept("c", "d")
        await harness.hold("c", at=NOW)
        return found

    monkeypatch.setattr(verification, "count_by_tenant_and_hour", while_events_come)

    balance = await harness.verify()

    rows = {each.tenant_id: each for each in balance.hours}
    assert rows["contoso"].moving
    assert "moving" in render(balance)
    still = rows["quiet"]
    assert not still.moving
    sums = still.persisted + still.duplicates + still.dead_letters + still.in_flight + still.difference
    assert still.accepted == sums
    assert not balance.is_proven


async def test_an_event_that_waits_in_the_queue_is_not_missing(harness: Harness) -> None:
    await harness.accept("waiting")
    await harness.hold("waiting")
    await harness.queue("waiting")

    balance = await harness.verify()

    assert balance.missing == []
    assert balance.total("in_flight") == 1
    assert balance.oldest_unpersisted is not None
    assert balance.oldest_unpersisted.event_id == "waiting"


@pytest.mark.parametrize("body", [b'[{"id":"\xff"}]', b"[" * 100_000], ids=["no UTF-8", "nested too deep"])
async def test_a_message_that_nobody_can_read_does_not_keep_others_from_being_found(
    harness: Harness, body: bytes
) -> None:
    await harness.queue_body(body)
    await harness.accept("waiting", "gone")
    await harness.hold("waiting")
    await harness.hold("gone")
    await harness.queue("waiting")

    balance = await harness.verify()

    assert [each.event_id for each in balance.missing] == ["gone"]


async def test_an_event_that_is_stored_and_not_settled_yet_is_counted_once(harness: Harness) -> None:
    await harness.accept("a")
    await harness.hold("a")
    await harness.persist("a")

    balance = await harness.verify()

    assert balance.total("in_flight") == 0
    assert balance.total("difference") == 0
    assert balance.lost == 0


async def test_a_copy_that_waits_while_the_first_is_stored_is_no_loss(harness: Harness) -> None:
    await harness.accept("a", "a")
    await harness.persist("a")
    await harness.hold("a", token="another-token")

    balance = await harness.verify()

    assert balance.lost == 0
    assert balance.total("in_flight") == 1


@pytest.mark.parametrize("step", ["count_by_tenant_and_hour", "search_queues"])
async def test_an_event_that_is_stored_meanwhile_is_no_loss(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await harness.accept("late")
    await harness.hold("late")
    owner = EventStore if hasattr(EventStore, step) else verification
    original = getattr(owner, step)

    async def while_a_worker_stores_it(*arguments: Any, **named: Any) -> Any:
        found = await original(*arguments, **named)
        await harness.persist("late")
        return found

    monkeypatch.setattr(owner, step, while_a_worker_stores_it)

    balance = await harness.verify()

    assert balance.missing == []
    assert balance.lost == 0


async def test_a_reservation_without_acknowledgement_is_not_a_loss(harness: Harness) -> None:
    await harness.hold("refused", state="p")

    balance = await harness.verify()

    assert [each.event_id for each in balance.reserved] == ["refused"]
    assert balance.lost == 0
    assert balance.total("accepted") == 0


async def test_while_events_are_young_nothing_is_missing_and_nothing_is_proven(harness: Harness) -> None:
    now = time.time()
    await harness.accept("young", at=now)
    await harness.hold("young", at=now)

    balance = await harness.verify()

    assert balance.moving
    assert balance.lost == 0
    assert not balance.is_proven


async def test_more_in_the_store_than_in_the_ledger_is_a_surplus_and_no_loss(harness: Harness) -> None:
    await harness.accept("a")
    await harness.persist("a", "b")

    balance = await harness.verify()

    assert (balance.total("difference"), balance.total("surplus")) == (-1, 1)
    assert balance.lost == 0
    assert "1 more events are stored than the ledger has as accepted" in render(balance)


async def test_a_balance_of_one_tenant_leaves_the_others_out(harness: Harness) -> None:
    await harness.accept("a")
    await harness.persist("a")
    await harness.accept("b", tenant="fabrikam")
    await harness.hold("b", tenant="fabrikam")

    balance = await harness.verify(tenants=frozenset({"contoso"}))

    assert {each.tenant_id for each in balance.hours} == {"contoso"}
    assert balance.is_proven


async def test_hours_before_the_span_and_hours_that_the_store_has_expired_are_left_out(harness: Harness) -> None:
    expired = NOW - timedelta(days=40).total_seconds()
    yesterday = NOW - timedelta(hours=30).total_seconds()
    for at in (expired, yesterday, LONG_AGO):
        await harness.accept("a", at=at)

    assert {each.hour for each in (await harness.verify()).hours} == {hour(yesterday), hour(LONG_AGO)}
    assert {each.hour for each in (await harness.verify(since=timedelta(hours=24))).hours} == {hour(LONG_AGO)}
