"""Reads the ledger: how many events were accepted and how they ended, and which are on their way."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache.records import (
    OTHERS,
    PERIOD,
    TENANTS_AN_HOUR,
    Acceptance,
    Hour,
    HourCounts,
    hour_at,
    parse_acceptance,
    parse_hour,
)
from cloudscale.ledger.migration import migrate

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

_SCAN_AT_ONCE = 5000
_HOURS_AT_ONCE = 24
_HOUR_SECONDS = 3600

HOURS_AHEAD = 48
"""Hours after the present one that are read as well: another machine's clock may be ahead."""


class LedgerReading(msgspec.Struct, frozen=True):
    """The ledger at one moment."""

    counts: dict[Hour, HourCounts]
    in_flight: list[Acceptance]
    full_hours: frozenset[str] = frozenset()
    """Hours that have no room for another tenant, so that the others are counted together."""

    def hour_of(self, acceptance: Acceptance) -> Hour:
        """The tenant and hour under which an acceptance is counted."""
        own = acceptance.hour
        return (OTHERS, own[1]) if own not in self.counts and own[1] in self.full_hours else own


async def read_ledger(redis: Redis, keys: Keys) -> LedgerReading:
    """Read the whole ledger: each hour's counters at one moment, then what is in flight.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    await migrate(redis, keys)
    counts: dict[Hour, HourCounts] = {}
    tenants: Counter[str] = Counter()
    hours = _hours_kept()
    for start in range(0, len(hours), _HOURS_AT_ONCE):
        some = hours[start : start + _HOURS_AT_ONCE]
        async with redis.pipeline(transaction=False) as together:
            for hour in some:
                together.hgetall(keys.hour(hour))
            found = await together.execute()
        for hour, raw in zip(some, found, strict=True):
            of_hour = parse_hour(raw.items())
            counts |= {(tenant_id, hour): each for tenant_id, each in of_hour.items()}
            tenants[hour] = len(of_hour.keys() - {OTHERS})
    in_flight = [
        parse_acceptance(field, value) async for field, value in redis.hscan_iter(keys.inflight, count=_SCAN_AT_ONCE)
    ]
    return LedgerReading(
        counts, in_flight, frozenset(hour for hour, number in tenants.items() if number >= TENANTS_AN_HOUR)
    )


def restricted(ledger: LedgerReading, tenants: frozenset[str] | None) -> LedgerReading:
    """The part of the ledger that concerns ``tenants``; all of it for None.

    Where a tenant is counted together with others, that hour is left out for it.
    """
    if tenants is None:
        return ledger
    return msgspec.structs.replace(
        ledger,
        counts={hour: count for hour, count in ledger.counts.items() if hour[0] in tenants},
        in_flight=[each for each in ledger.in_flight if each.tenant_id in tenants],
    )


def _hours_kept() -> list[str]:
    now = time.time()
    hours = int(PERIOD.total_seconds() // _HOUR_SECONDS)
    return [hour_at(now + ahead * _HOUR_SECONDS) for ahead in range(-hours, HOURS_AHEAD + 1)]
