"""The balance of accepted events: for each tenant and hour what was accepted, what became of it, and what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache.records import Acceptance, Counts, Hour, HourCounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudscale.ledger.reading import LedgerReading
    from cloudscale.store.counting import StoredEvents


class HourBalance(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The balance of one tenant and hour, in events.

    Unless it moves, accepted = persisted + duplicates + dead letters + in flight + difference, and difference = lost +
    unaccounted - surplus.
    """

    tenant_id: str
    """Empty for the tenants that are counted together, because the hour had too many."""
    hour: str
    accepted: int = 0
    persisted: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    in_flight: int = 0
    difference: int = 0
    """While events move, the ledger before and after the store's answer gives a range; its value next to zero."""
    lost: int = 0
    """Accepted, and neither stored nor in the queue."""
    unnamed: int = 0
    """Accepted while Redis was away."""
    unaccounted: int = 0
    """Of the unnamed, those that are not stored and have no name: nobody can say whether they are lost."""
    surplus: int = 0
    """Stored without an acceptance: an ingestion ended before it entered them, or the ledger has lost it."""
    moving: bool = False
    """Its events moved while it was taken, so that it need not add up."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Acceptances in flight for the ledger of which the store and the queue have told more."""

    stored: AbstractSet[Acceptance] = frozenset()
    """Stored, and not settled yet."""
    missing: AbstractSet[Acceptance] = frozenset()
    """Neither in the store nor in a queue."""
    dead: AbstractSet[Acceptance] = frozenset()
    """Dead-lettered by the broker itself."""


class _Range(msgspec.Struct, frozen=True):
    """The least and the most that a difference can be."""

    least: int
    most: int

    @property
    def value(self) -> int:
        """The value next to zero."""
        return max(self.least, min(0, self.most))


def balances(
    before: LedgerReading,
    after: LedgerReading,
    *,
    persisted: Mapping[Hour, StoredEvents],
    findings: Findings,
) -> list[HourBalance]:
    """The balance of each hour that ``persisted`` has, from the ledger before and after the store was asked.

    Whatever the first reading has as accepted and not in flight was settled before the store was asked, so what the
    store, the duplicates and the dead letters do not account for by then is lost: that is the least difference. The
    most is what the second reading says.

    What was accepted while Redis was away is weighed apart: events that are stored without an acceptance on one side
    must not make up for events that are gone on the other.
    """
    elsewhere = {*findings.stored, *findings.missing, *findings.dead}
    in_flight = [_in_flight(ledger, without=elsewhere) for ledger in (before, after)]
    dead = Counter((before.hour_of(each), each.is_named) for each in findings.dead)
    missing = Counter((before.hour_of(each), each.is_named) for each in findings.missing)
    moving = _moving_hours(before, after)
    rows = []
    for hour in sorted(persisted):
        counts = [ledger.counts.get(hour, HourCounts()) for ledger in (before, after)]
        flying = [{is_named: held[hour, is_named] for is_named in (True, False)} for held in in_flight]
        stored = persisted[hour]
        if any(each.is_mixed for each in counts):
            together = [each.both for each in counts]
            held = [sum(each.values()) for each in flying]
            difference = _range(together, held, stored=stored.both + dead[hour, True] + dead[hour, False]).value
            named_or_not = missing[hour, True] + missing[hour, False]
            unaccounted = max(0, min(counts[1].unnamed.accepted, difference - named_or_not))
            lost, surplus = max(0, difference) - unaccounted, max(0, -difference)
        else:
            named = _range(
                [each.named for each in counts],
                [each[True] for each in flying],
                stored=stored.named + dead[hour, True],
            ).value
            unnamed = _range(
                [each.unnamed for each in counts],
                [each[False] for each in flying],
                stored=stored.unnamed + dead[hour, False],
            ).value
            difference, surplus = named + unnamed, max(0, -named) + max(0, -unnamed)
            unnamed_missing = min(max(0, unnamed), missing[hour, False])
            lost, unaccounted = max(0, named) + unnamed_missing, max(0, unnamed) - unnamed_missing
        own = counts[0].both
        rows.append(
            HourBalance(
                tenant_id=hour[0],
                hour=hour[1],
                accepted=own.accepted,
                persisted=stored.both,
                duplicates=own.duplicates,
                dead_letters=own.dead_letters + dead[hour, True] + dead[hour, False],
                in_flight=sum(flying[0].values()),
                difference=difference,
                lost=lost,
                unnamed=counts[1].unnamed.accepted,
                unaccounted=unaccounted,
                surplus=surplus,
                moving=hour in moving,
            )
        )
    return rows


def explained(row: HourBalance, *, queued: int, dead: int) -> HourBalance:
    """A balance whose unaccounted events were found in the queue or among its dead letters, as far as they were."""
    dead = min(dead, row.unaccounted)
    queued = min(queued, row.unaccounted - dead)
    return msgspec.structs.replace(
        row,
        dead_letters=row.dead_letters + dead,
        in_flight=row.in_flight + queued,
        difference=row.difference - dead - queued,
        unaccounted=row.unaccounted - dead - queued,
    )


def _range(counts: list[Counts], in_flight: list[int], *, stored: int) -> _Range:
    settled = [each.duplicates + each.dead_letters + stored for each in counts]
    return _Range(
        counts[0].accepted - in_flight[0] - max(settled),
        counts[1].accepted - in_flight[1] - min(settled),
    )


def _in_flight(ledger: LedgerReading, *, without: AbstractSet[Acceptance]) -> Counter[tuple[Hour, bool]]:
    """What is in flight by hour and class, without what nobody acknowledged."""
    return Counter(
        (ledger.hour_of(each), each.is_named) for each in ledger.in_flight if each.acknowledged and each not in without
    )


def _moving_hours(before: LedgerReading, after: LedgerReading) -> set[Hour]:
    changed = {hour for hour, counts in before.counts.items() if after.counts.get(hour) != counts}
    changed |= after.counts.keys() - before.counts.keys()
    return changed | {after.hour_of(each) for each in {*before.in_flight} ^ {*after.in_flight}}
