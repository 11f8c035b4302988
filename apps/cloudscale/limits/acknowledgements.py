"""What ingestion has yet to write into the ledger: the events that the broker has acknowledged.

It goes along with the next call to Redis, in numbered entries, so that one whose answer was lost is not counted twice.
An entry counts the very events that it names: counted first and named later, they would look lost in between.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import structlog

from cloudscale.cache.records import OTHERS, UNNAMED, acceptance_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.events.enrichment import Enriched

log = structlog.get_logger(__name__)

WAITING_ENTRIES = 500_000

WAITING_COUNTERS = 50_000
"""Tenants and hours that those kept by number are told apart by; the rest is counted with the other tenants."""

COMMITS_PER_CALL = 5_000


class LedgerEntry(msgspec.Struct, frozen=True):
    """What a call writes down; sent again under the same number until its arrival is confirmed."""

    number: int
    commits: Sequence[str] = ()
    """Fields of the ``inflight`` hash that are acknowledged."""
    unnamed: Sequence[str] = ()
    """For each event that was accepted while Redis was away: its hour, its field and its value."""
    accepted: Sequence[str | int] = ()
    """For each counter: its hour, its tenant, its kind, and by how much it grows."""


NOTHING = LedgerEntry(0)

_Counter = tuple[str, str, str]
"""Hour, tenant and kind of a counter."""


class _Acknowledged(msgspec.Struct, frozen=True, gc=False):
    """As little of an event as the ledger needs, since many may have to wait."""

    counter: _Counter
    field: str
    received_at: str
    is_named: bool


class Acknowledgements:
    """The acknowledged events of one process that wait to be written down.

    Args:
        waiting_entries: events kept by name while Redis is away; beyond this the oldest are kept by number, and that is
            logged.
        commits_per_call: events that one call writes down.
    """

    def __init__(self, *, waiting_entries: int = WAITING_ENTRIES, commits_per_call: int = COMMITS_PER_CALL) -> None:
        self._waiting_entries = waiting_entries
        self._commits_per_call = commits_per_call
        self._waiting: deque[_Acknowledged] = deque()
        self._by_number: Counter[_Counter] = Counter()
        self._entry = NOTHING
        self._entries = 0
        self._given_up = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._by_number or self._entry.number)

    def note(self, events: Iterable[Enriched]) -> None:
        """Take up events that the broker has acknowledged."""
        self._waiting.extend(map(_acknowledged, events))
        surplus = len(self._waiting) - self._waiting_entries
        if surplus <= 0:
            return
        if not self._given_up:
            # Said once an outage: from here on every group gives some up.
            log.error("ledger entries are given up: Redis has been away for too long", kept=self._waiting_entries)
        self._given_up += surplus
        for _ in range(surplus):
            counter = self._waiting.popleft().counter
            if counter not in self._by_number and len(self._by_number) >= WAITING_COUNTERS:
                counter = (counter[0], OTHERS, counter[2])
            self._by_number[counter] += 1

    def next_entry(self) -> LedgerEntry:
        """The entry whose arrival is not confirmed, or a new one of what waits."""
        if self._entry is not NOTHING or not (self._waiting or self._by_number):
            return self._entry
        events = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._commits_per_call))]
        counters = Counter(event.counter for event in events)
        for counter in list(self._by_number)[: self._commits_per_call]:
            counters[counter] += self._by_number.pop(counter)
        unnamed: list[str] = []
        for event in events:
            if not event.is_named:
                received_at = datetime.fromisoformat(event.received_at).timestamp()
                unnamed += (event.counter[0], event.field, acceptance_value("u", received_at))
        accepted: list[str | int] = []
        for counter, count in counters.items():
            accepted += (*counter, count)
        self._entries += 1
        commits = [event.field for event in events if event.is_named]
        self._entry = LedgerEntry(self._entries, commits, unnamed, accepted)
        return self._entry

    def confirm(self) -> int:
        """The last entry has arrived; how many events were given up since this was called before."""
        given_up, self._given_up, self._entry = self._given_up, 0, NOTHING
        return given_up


def _acknowledged(event: Enriched) -> _Acknowledged:
    kind = "accepted" if event.is_named else f"accepted{UNNAMED}"
    counter = (event.received_hour, event.tenant_id, kind)
    return _Acknowledged(counter, event.field, event.document["receivedAt"], event.is_named)
