r"""The ledger's wire format: its records in Redis are written and read here, or by the Lua that stands here.

An acceptance is a field ``tenant\nevent\ntoken`` of the ``inflight`` hash; its value is a mark and the time of
receipt in epoch milliseconds. What is counted lies in one hash for each hour, ``ledger:yyyy-MM-ddTHH``, with a field
``tenant\nkind`` for each tenant and kind. A client chooses its tenant id, so an hour has room for a number of tenants
only: those that come later are counted together, as the tenant with an empty name. Totals over all tenants and hours
are fields of ``ledger:totals``.

None of the parts can hold a line feed: :mod:`cloudscale.events.checking` refuses it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

PERIOD: Final = timedelta(days=35)
"""How long an hour's counters are kept: five days longer than the store keeps events by default. ``verify`` looks at
hours within this time only, also where the store keeps events longer."""

TENANTS_AN_HOUR: Final = 256
"""Tenants that an hour counts one by one."""

OTHERS: Final = ""
"""The tenant id under which an hour counts all other tenants; no event can have it."""

Hour = tuple[str, str]
"""A tenant id and an hour of ``receivedAt`` as ``yyyy-MM-ddTHH``."""

Mark = Literal["p", "c", "u"]
"""``p`` is reserved, ``c`` acknowledged, ``u`` acknowledged after it was accepted while Redis was away."""

UNNAMED: Final = "-unnamed"
"""Ends the kinds that count what was accepted while Redis was away: a document says so by ``acceptedUnnamed``."""


class Acceptance(msgspec.Struct, frozen=True, rename="camel"):
    """One accepted event, as the ledger knows it while it is in flight."""

    tenant_id: str
    event_id: str
    token: str
    received_at: float
    """Epoch seconds."""
    acknowledged: bool
    is_named: bool = True
    """False for what was accepted while Redis was away."""

    @property
    def hour(self) -> Hour:
        """The tenant and hour of its receipt."""
        return self.tenant_id, hour_at(self.received_at)

    @property
    def field(self) -> str:
        """Its field in the ``inflight`` hash."""
        return acceptance_field(self.tenant_id, self.event_id, self.token)


class Counts(msgspec.Struct, frozen=True):
    """What one tenant and hour has counted, of one of the two classes: named, or accepted while Redis was away."""

    accepted: int = 0
    duplicates: int = 0
    dead_letters: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.accepted + other.accepted, self.duplicates + other.duplicates, self.dead_letters + other.dead_letters
        )


class HourCounts(msgspec.Struct, frozen=True):
    """What one tenant and hour has counted."""

    named: Counts = Counts()
    unnamed: Counts = Counts()
    is_mixed: bool = False
    """It was counted by a version that did not tell duplicates and dead letters of the two classes apart."""

    @property
    def both(self) -> Counts:
        """Both classes together."""
        return self.named + self.unnamed


def acceptance_field(tenant_id: str, event_id: str, token: str) -> str:
    """The field of an acceptance in the ``inflight`` hash, and its name among those that ended or are dead."""
    return f"{tenant_id}\n{event_id}\n{token}"


def acceptance_value(mark: Mark, received_at: float) -> str:
    """The value of an acceptance in the ``inflight`` hash; ``received_at`` is in epoch seconds."""
    return f"{mark}{round(received_at * 1000)}"


def parse_acceptance(field: bytes | str, value: bytes | str) -> Acceptance:
    """An entry of the ``inflight`` hash.

    Versions that took ids with a line feed at their end have left entries of more than three parts: they are read as
    well, the surplus as part of the event's id.
    """
    tenant_id, *parts, token = _text(field).split("\n")
    event_id = "\n".join(parts)
    marked = _text(value)
    return Acceptance(
        tenant_id, event_id, token, int(marked[1:]) / 1000, not marked.startswith("p"), not marked.startswith("u")
    )


def parse_hour(raw: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, HourCounts]:
    """The counts of an hour's hash by tenant id, :data:`OTHERS` for those that are counted together."""
    found: dict[str, dict[str, int]] = {}
    for field, number in raw:
        tenant_id, _, kind = _text(field).rpartition("\n")
        found.setdefault(tenant_id, {})[kind] = int(number)
    return {
        tenant_id: HourCounts(_class_of(kinds, ""), _class_of(kinds, UNNAMED), "mixed" in kinds)
        for tenant_id, kinds in found.items()
    }


def hour_at(seconds: float) -> str:
    """The hour of a time in epoch seconds as ``yyyy-MM-ddTHH``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H")


def _class_of(kinds: dict[str, int], ending: str) -> Counts:
    return Counts(*(kinds.get(kind + ending, 0) for kind in ("accepted", "duplicates", "dead")))


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
