"""The proof that nothing was lost: what ingestion accepted against what the store, asked itself, has.

For each tenant and hour of ``receivedAt``, accepted = persisted + duplicates + dead letters + in flight. Persisted
comes from queries on the store, the others from the ledger in Redis. An acceptance that stays in flight for long is
looked up in the store, then in the queue, and once more in the store, where it may have gone meanwhile; one that is in
neither is missing, and is named. One that is among the dead letters was put there by the broker itself, and counts as
one. An event that was reserved and of which the ledger never heard again got no 202, or its ingestion was killed after
the answer and before the next call to Redis, which follows within 0.1 s: it counts as reserved, not as accepted, and
where the store has it, as more than was accepted.

What was accepted while Redis was away is weighed apart, against what the store has with ``acceptedUnnamed``. Most of it
is entered by name once Redis is back. Of the rest the ledger has the number: what is neither stored nor found in the
queue or its dead letters cannot be named, and nobody can say whether it is lost.

An acceptance whose event the store has is settled here, if the worker did not come to it.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache.keys import keys_of
from cloudscale.cache.records import OTHERS, PERIOD, Acceptance, Hour
from cloudscale.ledger.balance import Findings, HourBalance, balances, explained
from cloudscale.ledger.reading import LedgerReading, read_ledger, restricted
from cloudscale.queue.search import Search, search_queues
from cloudscale.store.counting import StoredEvents, count_by_tenant_and_hour
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

STALE_AFTER = timedelta(seconds=30)
"""An acceptance in flight for longer is looked up."""

LOOKED_UP = 20_000
"""Stale acceptances looked up in one verification, the oldest ones."""

TOTALLED = {
    "accepted": "accepted",
    "persisted": "persisted",
    "duplicates": "duplicates",
    "dead_letters": "deadLetters",
    "in_flight": "inFlight",
    "difference": "difference",
}
"""The columns of a balance that have a sum, and their names in JSON."""

_SETTLED_AT_ONCE = 1000


class Balance(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The result of a verification."""

    at: str
    """When it was taken, RFC 3339."""
    hours: list[HourBalance]
    moving: bool
    """Events were on their way while it was taken, so the running hour's difference may not be zero yet."""
    missing: list[Acceptance]
    """Acknowledged, and neither in the store nor in a queue."""
    reserved: list[Acceptance]
    """Reserved long ago, of which the ledger never heard again, and which are neither stored nor queued."""
    oldest_unpersisted: Acceptance | None
    unsearched: int
    """Acceptances whose place is not known, since the queue is too deep to look through all of it."""

    def total(self, name: str) -> int:
        """Sum of one field of the hours, such as ``accepted`` or ``difference``."""
        return sum(getattr(hour, name) for hour in self.hours)

    @property
    def totals(self) -> dict[str, int]:
        """The sums of all hours, by their names in JSON."""
        return {shown: self.total(name) for name, shown in TOTALLED.items()}

    @property
    def lost(self) -> int:
        """Events that were answered 202 and are nowhere."""
        return max(len(self.missing), self.total("lost"))

    @property
    def unaccounted(self) -> int:
        """Events that were accepted while Redis was away and are not stored; more is not known of them."""
        return self.total("unaccounted")

    @property
    def is_proven(self) -> bool:
        """Whether nothing is lost and nothing is open."""
        return not self.lost and not self.unaccounted and not self.unsearched and not self.moving

    @property
    def shared_hours(self) -> int:
        """Hours with more tenants than the ledger counts one by one: the others are counted together."""
        return sum(hour.tenant_id == OTHERS for hour in self.hours)


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification looks at; everything by default."""

    since: timedelta | None = None
    """Leave out hours that are longer ago."""
    tenants: frozenset[str] | None = None
    stale_after: timedelta = STALE_AFTER


async def verify(
    resource: EventPipeline,
    settings: Settings,
    *,
    redis: Redis,
    store: EventStore,
    scope: Scope = Scope(),  # noqa: B008 - frozen
) -> Balance:
    """Take the balance of a pipeline, without the hours whose events the store has expired.

    Raises:
        redis.exceptions.RedisError: the ledger cannot be read.
        BackendError: the store or the queue cannot be read.
    """
    now, keys = time.time(), keys_of(resource)
    before = restricted(await read_ledger(redis, keys), scope.tenants)
    first_hour = _first_hour(resource, now=now, since=scope.since)
    hours = sorted(hour for hour in _all_hours(before) if hour[1] >= first_hour)
    stale = _stale(before, received_before=now - scope.stale_after.total_seconds())
    looked_up = [each for each in stale if each.acknowledged][:LOOKED_UP]
    # Asked before the store counts: what is here must be in the count, too.
    known = await store.acceptances(map(_event_of, looked_up))
    persisted = await count_by_tenant_and_hour(store, hours, together=OTHERS)
    after = restricted(await read_ledger(redis, keys), scope.tenants)
    remaining = set(map(_identity, after.in_flight))
    # Of an event that is stored, another acceptance is a copy: it waits for the worker that will find it out.
    absent = [each for each in looked_up if _event_of(each) not in known and _identity(each) in remaining]
    search, nowhere = await _look_for(absent, resource, settings, store=store)
    dead_names = {_name_of(each) for each in search.dead}
    evidence = _Evidence(
        at=now,
        before=before,
        stale=stale,
        persisted=persisted,
        after=after,
        nowhere=nowhere,
        complete=search.complete,
        findings=Findings(
            stored={each for each in looked_up if each.token in known.get(_event_of(each), ())},
            missing=set(nowhere if search.complete else ()),
            dead={each for each in absent if _name_of(each) in dead_names},
        ),
    )
    balance = _conclude(evidence)
    await _settle_stored(redis, keys, evidence.findings.stored)
    if balance.unaccounted and not balance.missing:
        return await _explain(balance, evidence, resource, settings, redis=redis)
    return balance


class _Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification has read."""

    at: float
    before: LedgerReading
    stale: list[Acceptance]
    persisted: dict[Hour, StoredEvents]
    after: LedgerReading
    nowhere: list[Acceptance]
    complete: bool
    """All of the queues was looked through, so that what is nowhere is missing."""
    findings: Findings


async def _look_for(
    absent: list[Acceptance], resource: EventPipeline, settings: Settings, *, store: EventStore
) -> tuple[Search, list[Acceptance]]:
    """What the queues have of the acceptances that were absent from the store, and those that are nowhere."""
    search = await search_queues(resource.spec.queue, settings, wanted=set(map(_name_of, absent)))
    nowhere = [each for each in absent if _name_of(each) not in search.found]
    # Events go from the queue to the store: one that left the queue before it was looked through is there by now.
    stored_since = await store.acceptances(map(_event_of, nowhere))
    return search, [each for each in nowhere if _event_of(each) not in stored_since]


async def _explain(
    balance: Balance, evidence: _Evidence, resource: EventPipeline, settings: Settings, *, redis: Redis
) -> Balance:
    """Look for events without a name in the queue, and among its dead letters for those that no worker has counted."""
    search = await search_queues(resource.spec.queue, settings, wanted=frozenset(), unnamed=True)
    entered = set(map(_identity, evidence.after.in_flight))
    queued = [each for each in search.queued if _identity(each) not in entered]
    letters = [each for each in search.dead if _identity(each) not in entered]
    if letters:
        counted = await redis.hmget(keys_of(resource).dead, [each.field for each in letters])
        letters = [each for each, counter in zip(letters, counted, strict=True) if counter is None]
    in_queue, among_dead = (Counter(map(evidence.after.hour_of, acceptances)) for acceptances in (queued, letters))
    hours = [
        explained(row, queued=in_queue[row.tenant_id, row.hour], dead=among_dead[row.tenant_id, row.hour])
        for row in balance.hours
    ]
    return msgspec.structs.replace(balance, hours=hours)


async def _settle_stored(redis: Redis, keys: Keys, stored: AbstractSet[Acceptance]) -> None:
    """Take acceptances out of flight that the store proves stored; their worker ended before it could."""
    fields = [each.field for each in stored]
    for start in range(0, len(fields), _SETTLED_AT_ONCE):
        await redis.hdel(keys.inflight, *fields[start : start + _SETTLED_AT_ONCE])


def _conclude(evidence: _Evidence) -> Balance:
    before, after, stale, findings = evidence.before, evidence.after, evidence.stale, evidence.findings
    remaining = set(map(_identity, after.in_flight))
    unpersisted = [
        each
        for each in before.in_flight
        if each.acknowledged and each not in findings.stored and each not in findings.dead
    ]
    not_looked_up = max(0, sum(each.acknowledged for each in stale) - LOOKED_UP)
    young = len(before.in_flight) > len(stale)
    return Balance(
        at=datetime.fromtimestamp(evidence.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        hours=balances(before, after, persisted=evidence.persisted, findings=findings),
        moving=young or before.counts != after.counts or len(before.in_flight) != len(after.in_flight),
        missing=[each for each in evidence.nowhere if evidence.complete],
        reserved=[each for each in stale if not each.acknowledged and _identity(each) in remaining],
        oldest_unpersisted=min(unpersisted, key=lambda each: each.received_at, default=None),
        unsearched=(0 if evidence.complete else len(evidence.nowhere)) + not_looked_up,
    )


def _stale(ledger: LedgerReading, *, received_before: float) -> list[Acceptance]:
    """What is in flight and was received long ago, the oldest first."""
    stale = (each for each in ledger.in_flight if each.received_at < received_before)
    return sorted(stale, key=lambda each: each.received_at)


def _event_of(acceptance: Acceptance) -> tuple[str, str]:
    return acceptance.tenant_id, acceptance.event_id


def _name_of(acceptance: Acceptance) -> tuple[str, str]:
    return acceptance.event_id, acceptance.token


def _identity(acceptance: Acceptance) -> tuple[str, str, str]:
    return acceptance.tenant_id, acceptance.event_id, acceptance.token


def _first_hour(resource: EventPipeline, *, now: float, since: timedelta | None) -> str:
    """The earliest hour whose counters are all there, and whose events must all be in the store still."""
    bounds = [PERIOD - timedelta(hours=1), *([since] if since is not None else [])]
    if kept := parse_duration(resource.spec.store.time_to_live):
        bounds.append(kept - timedelta(hours=1))
    return (datetime.fromtimestamp(now, UTC) - min(bounds)).strftime("%Y-%m-%dT%H")


def _all_hours(ledger: LedgerReading) -> set[Hour]:
    return {*ledger.counts, *(ledger.hour_of(each) for each in ledger.in_flight if each.acknowledged)}
