"""What makes an event suspicious: many requests of one client, and neither a large batch, a server, nor a replay."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.limits.addresses import Networks
from cloudscale.limits.velocity import VelocityWindows
from cloudscale.worker.decoding import Accepted
from cloudscale.worker.velocity import VelocityRule, client_outside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

    from cloudscale.worker.fraud_rules import Finding

    Make = Callable[..., VelocityRule]

LIMIT = 3
WINDOW = timedelta(seconds=60)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def make(redis: Redis) -> Make:
    second = timedelta(seconds=1)
    breaker = CircuitBreaker(failure_ratio=1, window=second, minimum_calls=1, open_for=second)

    def rule(trusted: Sequence[str] = ()) -> VelocityRule:
        prefix = uuid.uuid4().hex
        windows = VelocityWindows(redis, key=lambda sender: prefix + sender, window=WINDOW, breaker=breaker)
        return VelocityRule(
            windows,
            kind="velocity",
            per="clientAddress",
            sender=client_outside(Networks(trusted)),
            limit=LIMIT,
            window=WINDOW,
        )

    return rule


def event(
    *,
    address: str = "192.0.2.1",
    received_at: datetime = NOW,
    created_at: datetime | None = None,
    batch: str | None = None,
) -> Accepted:
    return Accepted(
        id=uuid.uuid4().hex,
        partition_key="t:2026-05",
        event_type="page_view",
        tenant_id="t",
        payload_hash="",
        acceptance="",
        received_at=received_at,
        created_at=created_at or received_at,
        correlation_id="c",
        client_address=address,
        accepted_in=batch,
    )


def in_turn(count: int, **fields: Any) -> list[Accepted]:
    """Events that were received one after the other."""
    return [event(received_at=NOW + timedelta(milliseconds=number), **fields) for number in range(count)]


def suspicious(findings: Sequence[Finding | None]) -> int:
    return sum(finding is not None for finding in findings)


async def test_more_requests_than_the_limit_are_suspicious_and_the_evidence_says_what_was_counted(make: Make) -> None:
    findings = await make().find(in_turn(LIMIT + 2))

    assert [finding is not None for finding in findings] == [False] * LIMIT + [True] * 2
    assert findings[-1] is not None
    assert findings[-1].evidence == {
        "count": LIMIT + 2,
        "counted": "requests",
        "per": "clientAddress",
        "by": "receivedAt",
        "limit": LIMIT,
        "windowSeconds": 60.0,
    }
    assert findings[-1].about == findings[-2].about  # type: ignore[union-attr] # all of a window make one alert


async def test_a_batch_is_one_request_however_many_messages_it_comes_in(make: Make) -> None:
    rule = make()
    for _ in range(3):
        assert suspicious(await rule.find([event(batch="one") for _ in range(500)])) == 0

    batches = [in_turn(number + 1, batch=f"batch-{number}")[-1] for number in range(LIMIT)]
    assert suspicious(await rule.find(batches)) == 1


async def test_a_server_that_is_named_by_its_network_is_not_counted(make: Make) -> None:
    rule = make(trusted=["10.0.0.0/8", "2001:db8::/32"])
    servers = [event(address=address) for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7") for _ in range(20)]

    findings = await rule.find([*servers, *in_turn(LIMIT + 1)])

    assert suspicious(findings[: len(servers)]) == 0
    assert suspicious(findings[len(servers) :]) == 1


async def test_what_is_replayed_counts_when_it_happened(make: Make) -> None:
    """A year in a minute: a purchase every hour, hundreds in each request."""
    rule = make()
    moments = [NOW - timedelta(days=365) + timedelta(hours=hour) for hour in range(2000)]
    for number, start in enumerate(range(0, len(moments), 100)):
        replayed = [event(created_at=moment, batch=f"b{number}") for moment in moments[start : start + 100]]
        assert suspicious(await rule.find(replayed)) == 0

    burst = [event(created_at=moments[-1] + timedelta(minutes=30, seconds=second)) for second in range(LIMIT + 1)]
    findings = await rule.find(burst)

    assert suspicious(findings) == 1
    assert findings[-1] is not None
    assert findings[-1].evidence["by"] == "createdAt"


async def test_a_replay_does_not_make_what_happens_now_suspicious(make: Make) -> None:
    rule = make()
    await rule.find([event(created_at=NOW - timedelta(hours=2, seconds=-number)) for number in range(50)])

    assert suspicious(await rule.find(in_turn(LIMIT))) == 0


async def test_an_event_that_claims_to_come_from_the_future_counts_when_it_was_received(make: Make) -> None:
    assert suspicious(await make().find(in_turn(LIMIT + 1, created_at=NOW + timedelta(days=1)))) == 1
