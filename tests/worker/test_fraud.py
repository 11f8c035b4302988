"""The whole check, with its memory in Redis: what it writes into events, and which alerts it raises."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.cache.keys import Keys
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.pipeline.processing import (
    Fraud,
    ImpossibleTravel,
    SharedValue,
    UnusualAmount,
    UserVelocity,
    Velocity,
)
from cloudscale.worker.decoding import Accepted
from cloudscale.worker.fraud import FraudCheck, fraud_check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis
    from tests.servers.redis import RedisServer

    from cloudscale.store.alerts import Alert

    Make = Callable[[Fraud], FraudCheck]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def make(redis: Redis) -> Make:
    second = timedelta(seconds=1)
    breaker = CircuitBreaker(failure_ratio=1, window=second, minimum_calls=1, open_for=second)
    keys = Keys(namespace="fraud", name=uuid.uuid4().hex)
    return lambda spec: fraud_check(spec, redis, keys=keys, breaker=breaker)


def event(number: int, *, user: str = "ada", address: str = "192.0.2.1", kind: str = "purchase") -> Accepted:
    moment = NOW + timedelta(seconds=number)
    return Accepted(
        id=uuid.uuid4().hex,
        partition_key="t:2026-05",
        event_type=kind,
        tenant_id="t",
        payload_hash="",
        acceptance="",
        received_at=moment,
        created_at=moment,
        correlation_id="c",
        client_address=address,
        user_id=user,
    )


async def flag(
    check: FraudCheck, events: Sequence[Accepted], fields: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[Alert]]:
    documents = [dict(each) for each in fields]
    alerts = await check.flag(documents, events)
    check.remember(alerts)
    return documents, list(alerts.values())


async def test_a_rule_that_is_not_asked_for_finds_nothing(make: Make) -> None:
    fields = [{"amount": 10.0**number, "currency": "EUR", "card": "one"} for number in range(9)]

    documents, alerts = await flag(make(Fraud()), [event(n, user=f"u{n}") for n in range(9)], fields)

    assert [document["suspicious"] for document in documents] == [False] * 9
    assert not alerts


async def test_an_unusual_amount_is_found_over_several_messages_and_again_when_they_come_again(make: Make) -> None:
    check = make(Fraud(unusual_amount=UnusualAmount(after_purchases=3)))
    events = [event(number) for number in range(4)]
    fields = [{"amount": amount, "currency": "EUR"} for amount in (20.0, 22.0, 21.0, 500.0)]

    for each, given in zip(events[:3], fields[:3], strict=True):
        await flag(check, [each], [given])
    (large,), (alert,) = await flag(check, events[3:], fields[3:])
    (again,), no_alerts = await flag(check, events[3:], fields[3:])

    assert large["fraud"] == {
        "rule": "unusual_amount",
        "amount": 500.0,
        "usual": 21.0,
        "purchases": 3,
        "factor": 10.0,
    }
    assert again == large
    assert (alert.kind, alert.user_id, alert.evidence["eventId"]) == ("unusual_amount", "ada", events[3].id)
    assert not no_alerts


async def test_one_card_of_many_users_is_found_and_makes_one_alert(make: Make) -> None:
    check = make(Fraud(shared_value=SharedValue(property="card", users=2)))
    events = [event(number, user=f"user-{number}", address=f"192.0.2.{number}") for number in range(5)]

    documents, alerts = await flag(check, events, [{"properties": {"card": "4111"}}] * 5)

    assert [document["suspicious"] for document in documents] == [False, False, True, True, True]
    assert [alert.kind for alert in alerts] == ["shared_value"]


async def test_a_user_on_two_continents_is_found(make: Make) -> None:
    check = make(Fraud(impossible_travel=ImpossibleTravel()))
    places = [{"latitude": 52.5, "longitude": 13.4}, {"latitude": 35.7, "longitude": 139.7}]

    documents, (alert,) = await flag(check, [event(0), event(60)], [{"location": place} for place in places])

    assert [document["suspicious"] for document in documents] == [False, True]
    assert alert.kind == "impossible_travel"


async def test_requests_of_one_user_from_many_addresses_are_found(make: Make) -> None:
    check = make(Fraud(user_velocity=UserVelocity(limit=3)))
    events = [event(number, address=f"192.0.2.{number}") for number in range(5)]

    documents, (alert,) = await flag(check, events, [{}] * 5)

    assert [document["suspicious"] for document in documents] == [False] * 3 + [True] * 2
    assert documents[-1]["fraud"].items() >= {"rule": "user_velocity", "per": "userId", "count": 5}.items()
    assert alert.id.startswith("user_velocity-user%20t%20ada-")


async def test_the_evidence_of_several_rules_stands_in_one_event(make: Make) -> None:
    check = make(Fraud(velocity=Velocity(limit=1), shared_value=SharedValue(property="card", users=1)))

    documents, alerts = await flag(check, [event(0), event(1, user="bob")], [{"card": 7}] * 2)

    assert documents[1]["fraud"]["rule"] == "velocity"
    assert [other["rule"] for other in documents[1]["fraud"]["also"]] == ["shared_value"]
    assert {alert.kind for alert in alerts} == {"velocity", "shared_value"}


@pytest.mark.fault
async def test_while_redis_is_away_nothing_is_suspected_of_what_is_not_known(
    cache_server: RedisServer, make: Make
) -> None:
    check = make(Fraud(shared_value=SharedValue(property="card", users=1)))
    cache_server.kill()
    try:
        documents, _ = await flag(check, [event(0), event(1, user="bob")], [{"card": 7}] * 2)
    finally:
        cache_server.start()

    assert [document["suspicious"] for document in documents] == [False, False]
