"""The proof that nothing was lost: what ingestion accepted against what the store, asked itself, has.

For each tenant and hour of ``receivedAt``, accepted = persisted + duplicates + dead letters + in flight. Persisted
comes from queries on the store, the others from the ledger in Redis. An acceptance that stays in flight for long is
looked up in the store, then in the queue, and once more in the store, where it may have gone meanwhile; one that is in
neither is missing, and is named. An event that was reserved but never acknowledged got no 202, so it is not lost,
whatever became of it.

What was accepted while Redis was away is in the ledger by number only. The store's count proves it stored like the
rest, and the worker counts those that ended as duplicates or dead letters. Where that leaves some over, they cannot be
named, and nobody can say whether they wait in the queue or are lost.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache.keys import keys_of
from cloudscale.ledger.reading import Acceptance, Hour, LedgerReading, read_ledger, restricted
from cloudscale.queue.search import look_through_queues
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

STALE_AFTER = timedelta(seconds=30)
"""An acceptance in flight for longer is looked up."""

LOOKED_UP = 20_000
"""Stale acceptances looked up in one verification, the oldest ones."""


class HourBalance(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The balance of one tenant and hour, in events."""

    tenant_id: str
    hour: str
    accepted: int = 0
    persisted: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    in_flight: int = 0
    difference: int = 0
    """Zero when every accepted event is accounted for; positive when some are not.

    While events move, the ledger before and after the store's answer gives a range; this is its value next to zero.
    """
    unnamed: int = 0
    """Accepted while Redis was away, so that the ledger has their number and not their names."""
    unaccounted: int = 0
    """The part of the difference that those without a name explain; whether it is a loss, nobody can say."""


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
    """Reserved long ago and never acknowledged: their clients got no 202 and are not owed anything."""
    oldest_unpersisted: Acceptance | None
    unsearched: int
    """Acceptances whose whereabouts are open, since the queue is too deep to look through all of it."""

    def total(self, name: str) -> int:
        """Sum of one field of the hours, such as ``accepted`` or ``difference``."""
        return sum(getattr(hour, name) for hour in self.hours)

    @property
    def lost(self) -> int:
        """Events that were answered 202 and are nowhere."""
        return max(len(self.missing), sum(max(0, hour.difference) - hour.unaccounted for hour in self.hours))

    @property
    def unaccounted(self) -> int:
        """Events that were accepted while Redis was away and are not stored; more is not known of them."""
        return self.total("unaccounted")

    @property
    def is_proven(self) -> bool:
        """Whether nothing is lost and nothing is open."""
        return not self.lost and not self.unaccounted and not self.unsearched and not self.moving


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
    now = time.time()
    before = restricted(await read_ledger(redis, keys_of(resource)), scope.tenants)
    first_hour = _first_hour(resource, now=now, since=scope.since)
    hours = sorted(hour for hour in _all_hours(before) if hour[1] >= first_hour)
    stale = _stale(before, received_before=now - scope.stale_after.total_seconds())
    looked_up = [each for each in stale if each.acknowledged][:LOOKED_UP]
    # Asked before the store counts: what is here must be in the count, too.
    known = await store.acceptances(map(_event_of, looked_up))
    persisted = await store.count_by_tenant_and_hour(hours)
    after = restricted(await read_ledger(redis, keys_of(resource)), scope.tenants)
    remaining = set(map(_identity, after.in_flight))
    # Of an event that is stored, another acceptance is a copy: it waits for the worker that will find it out.
    absent = [each for each in looked_up if _event_of(each) not in known and _identity(each) in remaining]
    nowhere, complete = await _missed_by_all(absent, resource, settings, store=store)
    return _conclude(
        _Evidence(
            at=now,
            before=before,
            stale=stale,
            stored_yet_unsettled={each for each in looked_up if each.token in known.get(_event_of(each), ())},
            persisted={hour: persisted.get(hour, 0) for hour in hours},
            after=after,
            nowhere=nowhere,
            complete=complete,
        )
    )


class _Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification has read, in the order in which it did."""

    at: float
    before: LedgerReading
    stale: list[Acceptance]
    stored_yet_unsettled: set[Acceptance]
    persisted: dict[Hour, int]
    after: LedgerReading
    nowhere: list[Acceptance]
    complete: bool
    """All of the queues was looked through, so that what is nowhere is missing."""


async def _missed_by_all(
    absent: list[Acceptance], resource: EventPipeline, settings: Settings, *, store: EventStore
) -> tuple[list[Acceptance], bool]:
    """Those of the acceptances that were absent from the store which no queue has, nor the store by now.

    The second value says whether all of the queues was looked through.
    """
    wanted = {(each.event_id, each.token) for each in absent}
    search = await look_through_queues(resource.spec.queue, settings, wanted=wanted)
    nowhere = [each for each in absent if (each.event_id, each.token) not in search.found]
    # Events go from the queue to the store: one that left the queue before it was looked through is there by now.
    stored_since = await store.acceptances(map(_event_of, nowhere))
    return [each for each in nowhere if _event_of(each) not in stored_since], search.complete


def _conclude(evidence: _Evidence) -> Balance:
    before, after, stale = evidence.before, evidence.after, evidence.stale
    missing = evidence.nowhere if evidence.complete else []
    # What the store has is counted there; what nobody has is the difference.
    counted_elsewhere = evidence.stored_yet_unsettled | set(missing)
    remaining = set(map(_identity, after.in_flight))
    unpersisted = [each for each in before.in_flight if each.acknowledged and each not in evidence.stored_yet_unsettled]
    not_looked_up = max(0, sum(each.acknowledged for each in stale) - LOOKED_UP)
    young = len(before.in_flight) > len(stale)
    return Balance(
        at=datetime.fromtimestamp(evidence.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        hours=_balances(
            _without(before, counted_elsewhere),
            _without(after, counted_elsewhere),
            persisted=evidence.persisted,
            missing=Counter(each.hour for each in missing),
        ),
        moving=young or before.accepted != after.accepted or _settlements(before) != _settlements(after),
        missing=missing,
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


def _identity(acceptance: Acceptance) -> tuple[str, str, str]:
    return acceptance.tenant_id, acceptance.event_id, acceptance.token


def _first_hour(resource: EventPipeline, *, now: float, since: timedelta | None) -> str:
    """The earliest hour whose events must all be in the store still."""
    bounds = [since] if since is not None else []
    if kept := parse_duration(resource.spec.store.time_to_live):
        bounds.append(kept - timedelta(hours=1))
    return (datetime.fromtimestamp(now, UTC) - min(bounds)).strftime("%Y-%m-%dT%H") if bounds else ""


def _all_hours(ledger: LedgerReading) -> set[Hour]:
    acknowledged = {each.hour for each in ledger.in_flight if each.acknowledged}
    return {*ledger.accepted, *ledger.duplicates, *ledger.dead_letters, *acknowledged}


def _settlements(ledger: LedgerReading) -> tuple[dict[Hour, int], dict[Hour, int], int]:
    return ledger.duplicates, ledger.dead_letters, len(ledger.in_flight)


def _without(ledger: LedgerReading, entries: set[Acceptance]) -> LedgerReading:
    """The ledger without some entries in flight, and without those that nobody acknowledged."""
    in_flight = [each for each in ledger.in_flight if each.acknowledged and each not in entries]
    return msgspec.structs.replace(ledger, in_flight=in_flight)


def _balances(
    before: LedgerReading,
    after: LedgerReading,
    *,
    persisted: Mapping[Hour, int],
    missing: Mapping[Hour, int],
) -> list[HourBalance]:
    """The balance of each hour that ``persisted`` has, from the ledger before and after the store was asked.

    Whatever the first reading has as accepted and not in flight was settled before the store was asked, so what the
    store, the duplicates and the dead letters do not account for by then is lost: that is the least difference. The
    most is what the second reading says.
    """
    in_flight_before = Counter(each.hour for each in before.in_flight)
    in_flight_after = Counter(each.hour for each in after.in_flight)
    balances = []
    for hour, stored in persisted.items():
        settled = [
            ledger.duplicates.get(hour, 0) + ledger.dead_letters.get(hour, 0) + stored for ledger in (before, after)
        ]
        least = before.accepted.get(hour, 0) - in_flight_before[hour] - max(settled)
        most = after.accepted.get(hour, 0) - in_flight_after[hour] - min(settled)
        difference, unnamed = max(least, min(0, most)), after.unnamed.get(hour, 0)
        balances.append(
            HourBalance(
                tenant_id=hour[0],
                hour=hour[1],
                accepted=before.accepted.get(hour, 0),
                persisted=stored,
                duplicates=before.duplicates.get(hour, 0),
                dead_letters=before.dead_letters.get(hour, 0),
                in_flight=in_flight_before[hour],
                difference=difference,
                unnamed=unnamed,
                unaccounted=max(0, min(unnamed, difference - missing.get(hour, 0))),
            )
        )
    return balances
