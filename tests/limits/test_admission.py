"""The script of admission against a real server, and against the arithmetic that it shares with the local limits."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.ledger.counting import counted, hour_counters
from tests.servers.redis import redis_server
from tests.waiting import wait_until

from cloudscale.cache.keys import Keys
from cloudscale.cache.records import PERIOD, TENANTS_AN_HOUR
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.events.enrichment import Enriched, Origin, enrich
from cloudscale.events.types import EventTypes
from cloudscale.ledger.settling import Ledger, Settlement
from cloudscale.limits import admission as module
from cloudscale.limits.acknowledgements import Acknowledgements
from cloudscale.limits.admission import Admission, Admitted, Limited
from cloudscale.limits.rates import Budget, LocalRates, Rates, Sender

if TYPE_CHECKING:
    from pathlib import Path

GENEROUS = Rates(client=Budget(1000, 1000), window_limit=1000, window_milliseconds=60_000)
CLIENT = "192.0.2.1"
SENDER = Sender(CLIENT)


KEYS = Keys(namespace="default", name="test")


def admission_of(
    redis: Redis,
    rates: Rates = GENEROUS,
    *,
    idempotency_ms: int = 60_000,
    acknowledgements: Acknowledgements | None = None,
) -> Admission:
    return Admission(
        redis,
        keys=KEYS,
        rates=rates,
        idempotency_ms=idempotency_ms,
        breaker=breaker(),
        acknowledgements=acknowledgements,
    )


def breaker() -> CircuitBreaker:
    return CircuitBreaker(
        failure_ratio=0.5, window=timedelta(seconds=10), minimum_calls=1, open_for=timedelta(milliseconds=50)
    )


def event(event_id: str = "e1", *, key: str | None = None, source_id: str | None = None, **fields: Any) -> Enriched:
    document = {
        "eventType": "page_view",
        "tenantId": "acme",
        "eventId": event_id,
        "url": "https://x.example/",
        **fields,
    }
    origin = Origin(CLIENT, "c", datetime.now(UTC), key, None, source_id)
    return enrich(document, EventTypes().check(document), origin)


async def states(admission: Admission, *events: Enriched) -> list[str]:
    return list((await admitted(admission, *events)).states)


async def admitted(admission: Admission, *events: Enriched) -> Admitted:
    (verdict,) = await admission.admit([(SENDER, events)])
    assert isinstance(verdict, Admitted)
    return verdict


async def ledger(redis: Redis) -> dict[str, str]:
    entries: dict[bytes, bytes] = await redis.hgetall(KEYS.inflight)  # type: ignore[assignment]
    return {field.decode(): value.decode()[0] for field, value in entries.items()}


async def accepted(redis: Redis) -> int:
    return await counted(redis, KEYS, "accepted")


async def test_an_acknowledged_event_that_comes_again_is_a_copy_of_the_first(redis: Redis) -> None:
    admission, first = admission_of(redis), event()
    assert await states(admission, first) == ["new"]
    admission.commit([first])

    verdict = await admitted(admission, event())

    assert list(verdict.states) == ["duplicate"]
    assert list(verdict.first_ids) == ["e1"]


async def test_an_event_that_was_only_reserved_is_new_again(redis: Redis) -> None:
    assert await states(admission_of(redis), event()) == ["new"]
    # The process that reserved it is gone, and nobody knows whether it was sent.
    assert await states(admission_of(redis), event()) == ["new"]


async def test_a_released_event_is_new_again_and_leaves_nothing_in_the_ledger(redis: Redis) -> None:
    admission, first = admission_of(redis), event()
    await states(admission, first)
    await admission.release([first])
    assert await ledger(redis) == {}
    assert await states(admission, event()) == ["new"]


@pytest.mark.parametrize("is_acknowledged", [True, False])
async def test_the_same_key_with_another_payload_is_a_conflict(redis: Redis, *, is_acknowledged: bool) -> None:
    admission, first = admission_of(redis), event()
    await states(admission, first)
    if is_acknowledged:
        admission.commit([first])
    assert await states(admission, event(url="https://y.example/")) == ["conflict"]


@pytest.mark.parametrize("again", [{"key": "k2"}, {"source_id": "s1"}, {}, {"event_id": "e2", "key": "k1"}])
async def test_an_acknowledged_event_is_known_by_each_of_its_names(redis: Redis, again: dict[str, Any]) -> None:
    admission, first = admission_of(redis), event(key="k1", source_id="s1")
    await states(admission, first)
    admission.commit([first])
    # A payload that names the event otherwise is another one.
    expected = "conflict" if "event_id" in again else "duplicate"

    verdict = await admitted(admission, event(**again))

    assert list(verdict.states) == [expected]
    assert list(verdict.first_ids) == ["e1" if expected == "duplicate" else ""]


async def test_another_key_and_payload_for_one_event_id_is_a_conflict(redis: Redis) -> None:
    admission, first = admission_of(redis), event(key="k1")
    await states(admission, first)
    admission.commit([first])
    assert await states(admission, event(key="k2", createdAt="2020-01-31T00:00:00Z")) == ["conflict"]


async def test_a_refused_event_reserves_none_of_its_names(redis: Redis) -> None:
    admission, first = admission_of(redis), event("e1", key="k1")
    await states(admission, first)
    admission.commit([first])
    other = event("e1", key="k2", url="https://y.example/")
    assert await states(admission, other, event("e3", key="k3")) == ["conflict", "new"]
    assert await states(admission, event("e2", key="k2")) == ["new"]


async def test_a_release_frees_every_name(redis: Redis) -> None:
    admission, first = admission_of(redis), event(key="k1", source_id="s1")
    await states(admission, first)
    await admission.release([first])
    others = [event("e2", key="k1"), event("e3", source_id="s1"), event("e1", url="https://y.example/")]
    assert await states(admission, *others) == ["new", "new", "new"]


@pytest.mark.parametrize("name", [{"key": "e:abc"}, {"key": "abc"}, {"source_id": "abc"}])
async def test_kinds_of_names_do_not_meet(redis: Redis, name: dict[str, Any]) -> None:
    admission, first = admission_of(redis), event("other", **name)
    await states(admission, first)
    admission.commit([first])
    assert await states(admission, event("abc")) == ["new"]


async def test_a_request_with_new_and_known_events_is_answered_event_by_event(redis: Redis) -> None:
    admission, known = admission_of(redis), event("e1")
    await states(admission, known)
    admission.commit([known])

    (verdict, other) = await admission.admit(
        [
            (SENDER, [event("e2"), event("e1"), event("e1", url="https://y.example/"), event("e3")]),
            (SENDER, [event("e4")]),
        ]
    )

    assert isinstance(verdict, Admitted)
    assert isinstance(other, Admitted)
    assert list(verdict.states) == ["new", "duplicate", "conflict", "new"]
    assert list(verdict.first_ids) == ["", "e1", "", ""]
    assert list(other.states) == ["new"]


async def test_a_key_that_stands_twice_in_one_call_is_reserved_both_times(redis: Redis) -> None:
    admission, first, second = admission_of(redis), event(), event()

    answers = await admission.admit([(SENDER, [first]), (SENDER, [second])])

    assert [list(answer.states) for answer in answers if isinstance(answer, Admitted)] == [["new"], ["new"]]
    assert await ledger(redis) == {first.field: "p", second.field: "p"}


async def test_a_release_leaves_a_key_alone_that_a_retry_has_taken_over(redis: Redis) -> None:
    admission, first, retry = admission_of(redis), event(), event()
    await states(admission, first)
    await states(admission, retry)
    admission.commit([retry])

    await admission.release([first])

    assert await states(admission, event()) == ["duplicate"]


async def test_a_release_finds_a_record_whatever_its_age(redis: Redis) -> None:
    admission, first = admission_of(redis), event()
    await states(admission, first)
    (name,) = await redis.keys(KEYS.idempotency + "*")
    span = int(name.decode().removeprefix(KEYS.idempotency))  # type: ignore[union-attr]
    await redis.rename(name, f"{KEYS.idempotency}{span - 2}")

    await admission.release([first])

    assert await states(admission, event()) == ["new"]


async def test_without_redis_a_client_is_held_to_its_burst_and_nothing_of_a_refused_request_is_new(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path) as server:
        async with Redis.from_url(server.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            rates = Rates(client=Budget(2, 0.001), window_limit=10, window_milliseconds=60_000)
            admission = admission_of(client, rates)
            server.kill()

            verdicts = [(await admission.admit([(SENDER, [event(f"e{number}")])]))[0] for number in range(3)]

    assert [verdict.allowance.refused_by for verdict in verdicts] == [None, None, "client"]
    first, second, third = verdicts
    assert isinstance(first, Admitted)
    assert isinstance(second, Admitted)
    assert isinstance(third, Limited)
    assert [list(first.states), list(second.states)] == [["new"], ["new"]]
    assert [first.is_named, second.is_named] == [False, False]


async def test_a_key_is_known_for_its_whole_time_and_forgotten_then(redis: Redis) -> None:
    milliseconds = 800
    admission, first = admission_of(redis, idempotency_ms=milliseconds), event()
    before = time.time()
    await states(admission, first)
    admission.commit([first])
    told: list[tuple[float, str]] = []

    async def is_new_again() -> bool:
        asked = time.time()
        (state,) = await states(admission, event())
        told.append((time.time() if state == "new" else asked, state))
        return state == "new"

    await wait_until(is_new_again, within=timedelta(seconds=10))
    assert told[-1][0] - before > milliseconds / 1000 - 0.002
    assert all(moment - before < milliseconds / 1000 + 0.1 for moment, state in told if state == "duplicate")


async def test_records_of_keys_leave_redis_by_themselves(redis: Redis) -> None:
    admission = admission_of(redis, idempotency_ms=100)
    await states(admission, event())

    async def is_empty() -> bool:
        return not await redis.keys(KEYS.idempotency + "*")

    await wait_until(is_empty, within=timedelta(seconds=10))


async def test_a_call_takes_more_events_than_one_command_can(redis: Redis) -> None:
    admission = admission_of(redis)
    many = [event(f"e{number}") for number in range(9000)]
    assert set(await states(admission, *many)) == {"new"}
    admission.commit(many)
    await admission.flush()
    assert set(await states(admission, *many)) == {"duplicate"}
    assert await accepted(redis) == len(many)


async def test_the_ledger_tells_reserved_from_acknowledged(redis: Redis) -> None:
    admission, first, second = admission_of(redis), event("e1"), event("e2")
    await states(admission, first, second)
    admission.commit([first])
    await admission.flush()
    assert await ledger(redis) == {first.field: "c", second.field: "p"}
    assert await accepted(redis) == 1
    assert not admission.has_commits


async def test_an_event_that_a_worker_settled_first_does_not_come_back_into_the_ledger(redis: Redis) -> None:
    admission, first = admission_of(redis), event()
    await states(admission, first)
    await redis.hdel(KEYS.inflight, first.field)
    admission.commit([first])
    await admission.flush()
    assert await ledger(redis) == {}
    assert await accepted(redis) == 1


async def test_acknowledged_events_are_counted_once_though_the_answer_was_lost(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission, first = admission_of(redis), event()
    await states(admission, first)
    admission.commit([first])
    evaluate = admission._evaluate

    async def evaluate_and_lose(argument: bytes) -> bytes:
        await evaluate(argument)
        raise TimeoutError

    monkeypatch.setattr(admission, "_evaluate", evaluate_and_lose)
    await admission.flush()
    assert admission.has_commits
    monkeypatch.undo()
    time.sleep(0.06)  # noqa: ASYNC251 - the breaker's pause; nothing else runs here
    admission.commit([event("e2")])
    await admission.flush()
    await admission.flush()
    assert await accepted(redis) == 2


async def test_many_acknowledged_events_are_written_down_in_several_calls(redis: Redis) -> None:
    admission = admission_of(redis, acknowledgements=Acknowledgements(commits_per_call=700))
    events = [event(f"e{number}") for number in range(3000)]
    await states(admission, *events)
    admission.commit(events)
    await admission.flush()
    assert set((await ledger(redis)).values()) == {"c"}
    assert await accepted(redis) == 3000


async def test_a_restarted_redis_that_forgot_the_script_is_told_again(redis: Redis) -> None:
    admission = admission_of(redis)
    await states(admission, event("e1"))
    await redis.script_flush()
    assert await states(admission, event("e2")) == ["new"]


async def test_without_redis_every_event_is_new_and_its_acknowledgement_waits(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with Redis.from_url(server.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            admission, first = admission_of(client), event()
            await states(admission, first)
            server.kill()
            assert await states(admission, event("e2")) == ["new"]
            admission.commit([first])
            await admission.flush()
            assert admission.has_commits
            server.start()

            async def is_written_down() -> bool:
                await admission.flush()
                return not admission.has_commits

            await wait_until(is_written_down, within=timedelta(seconds=10))
            assert await accepted(client) == 1


async def test_what_is_accepted_while_redis_is_away_is_counted_apart_and_entered_by_name_afterwards(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path) as server:
        async with Redis.from_url(server.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            admission, first, unnamed, refused = admission_of(client), event("e1"), event("e2"), event("e3")
            await states(admission, first)
            server.kill()
            await states(admission, unnamed, refused)
            admission.commit([first, unnamed.unnamed()])
            await admission.release([refused])
            server.start()

            async def is_written_down() -> bool:
                await admission.flush()
                return not admission.has_commits

            await wait_until(is_written_down, within=timedelta(seconds=10))
            counters = await hour_counters(client, KEYS, first.received_hour)
            entries = await ledger(client)

    assert counters == {"acme accepted": 1, "acme accepted-unnamed": 1}
    assert entries == {first.field: "c", unnamed.field: "u"}


async def test_what_waits_for_redis_is_bounded(redis: Redis) -> None:
    admission = admission_of(redis, acknowledgements=Acknowledgements(waiting_entries=2))
    events = [event(f"e{number}") for number in range(5)]
    await states(admission, *events)
    admission.commit(events)
    await admission.flush()
    assert sorted((await ledger(redis)).values()) == ["c", "c", "p", "p", "p"]
    assert await accepted(redis) == len(events)


async def test_what_a_worker_ended_before_its_acceptance_was_entered_stays_ended(redis: Redis) -> None:
    admission, stored = admission_of(redis), event().unnamed()
    worker = Ledger(redis, keys=KEYS, breaker=breaker())
    await worker.settle([Settlement("acme", "e1", stored.document["acceptance"], stored.received_hour, is_named=False)])

    admission.commit([stored])
    await admission.flush()

    assert await ledger(redis) == {}
    assert await accepted(redis) == 1


async def test_a_client_that_makes_up_tenants_leaves_a_bounded_hour_that_expires(redis: Redis) -> None:
    admission = admission_of(redis)
    one = event()
    many = [msgspec.structs.replace(one, tenant_id=f"tenant-{number}") for number in range(20_000)]

    admission.commit(many)
    await admission.flush()

    counters = await hour_counters(redis, KEYS, one.received_hour)
    assert len(counters) == TENANTS_AN_HOUR + 1
    assert counters[" accepted"] == len(many) - TENANTS_AN_HOUR
    assert await accepted(redis) == len(many)
    left = [await redis.ttl(KEYS.hour(one.received_hour) + ending) for ending in ("", ":tenants")]
    assert all(0 < seconds <= PERIOD.total_seconds() for seconds in left)


async def test_a_refused_request_reserves_nothing(redis: Redis) -> None:
    admission = admission_of(redis, Rates(client=Budget(1, 0.001), window_limit=10, window_milliseconds=60_000))
    one, other = await admission.admit([(SENDER, [event("e1")]), (SENDER, [event("e2")])])
    assert one.allowance.refused_by is None
    assert other.allowance.refused_by == "client"
    assert other.allowance.retry_after_seconds == pytest.approx(1000, rel=0.01)
    assert isinstance(other, Limited)
    assert len(await ledger(redis)) == 1


async def test_a_batch_spends_as_many_events_as_it_has(redis: Redis) -> None:
    rates = replace(GENEROUS, client=Budget(1000, 1000, 5, 2), global_events_burst=8, global_events_per_second=4)
    admission = admission_of(redis, rates)
    one, other, somebody = await admission.admit(
        [
            (SENDER, [event(f"a{number}") for number in range(4)]),
            (SENDER, [event(f"b{number}") for number in range(2)]),
            (Sender("192.0.2.9"), [event(f"c{number}") for number in range(5)]),
        ]
    )
    assert one.allowance.refused_by is None
    assert (other.allowance.refused_by, other.allowance.retry_after_seconds) == ("client-events", 0.5)
    assert (somebody.allowance.refused_by, somebody.allowance.retry_after_seconds) == ("global-events", 0.25)
    assert len(await ledger(redis)) == 4


async def test_a_request_without_events_spends_a_token(redis: Redis) -> None:
    admission = admission_of(redis, Rates(client=Budget(1, 0.001), window_limit=10, window_milliseconds=60_000))
    await admission.admit([(SENDER, [])])
    (verdict,) = await admission.admit([(SENDER, [event()])])
    assert verdict.allowance.refused_by == "client"


some_budgets = st.builds(
    Budget,
    burst=st.integers(min_value=1, max_value=8),
    per_second=st.sampled_from([0.5, 1.0, 4.0, 100.0]),
    events_burst=st.integers(min_value=9, max_value=30),
    events_per_second=st.sampled_from([0.5, 3.0, 100.0]),
)
# A tenant has one budget of its own at a time, or none.
OWN_BUDGETS = {"": None, "acme": None, "contoso": Budget(2, 0.5, 12, 2.0)}
# So has a key.
OWN_BUDGETS_OF_KEYS = {"": None, "k1": None, "k2": None, "k3": Budget(3, 1.0)}
some_senders = st.builds(
    lambda client, key, tenant: Sender(client, key, tenant, OWN_BUDGETS[tenant], OWN_BUDGETS_OF_KEYS[key]),
    st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", ""]),
    st.sampled_from(list(OWN_BUDGETS_OF_KEYS)),
    st.sampled_from(list(OWN_BUDGETS)),
)
requests = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=4000),
        some_senders,
        st.integers(min_value=0, max_value=9),
    ),
    max_size=60,
)
some_rates = st.builds(
    Rates,
    client=some_budgets,
    key=some_budgets,
    tenant=some_budgets,
    window_limit=st.integers(min_value=1, max_value=25),
    window_milliseconds=st.sampled_from([1000, 5000]),
    global_events_burst=st.integers(min_value=9, max_value=60),
    global_events_per_second=st.sampled_from([0.5, 7.0, 1000.0]),
)


@given(rates=some_rates, arrivals=requests, start=st.integers(min_value=10**12, max_value=2 * 10**12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_script_limits_as_the_model_does(
    redis: Redis, rates: Rates, arrivals: list[tuple[int, Sender, int]], start: int
) -> None:
    await redis.flushall()
    admission, model = admission_of(redis, rates), LocalRates(rates)
    now = start
    for turn, (pause, sender, count) in enumerate(arrivals):
        now += pause
        events = [event(f"{turn}-{number}") for number in range(count)]
        expected = model.admit(sender, count, now_milliseconds=now)
        answers = await admission._call(now, module._wire([(sender, events)], now))
        assert answers is not None
        assert module._LIMITS[answers[0].limit] == expected.refused_by
        # A token that is whole but for its last bit is rounded differently by decimal text in between.
        assert abs(answers[0].remaining - expected.remaining) <= 1
        assert answers[0].wait_milliseconds == pytest.approx(expected.retry_after_seconds * 1000, abs=1.01)
