"""What a process remembers of the directory, and what it forgets first."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloudscale.access.known_records import KnownRecord, KnownRecords
from cloudscale.access.records import Reference, Tenant


@pytest.fixture
def known() -> KnownRecords:
    return KnownRecords(most_records=2, most_absent=2)


def tenant(name: str) -> tuple[Reference, KnownRecord]:
    return Reference("tenant", name), KnownRecord(Tenant(id=name, created_at=datetime.now(UTC)), 0.0)


def nothing(name: str) -> tuple[Reference, KnownRecord]:
    return Reference("tenant", name), KnownRecord(None, 0.0)


def remembered(known: KnownRecords, *names: str) -> list[str]:
    return [name for name in names if known.get(Reference("tenant", name)) is not None]


def test_what_was_asked_for_longest_ago_is_forgotten_first(known: KnownRecords) -> None:
    known.keep(*tenant("a"))
    known.keep(*tenant("b"))
    known.touch(Reference("tenant", "a"))
    known.keep(*tenant("c"))
    assert remembered(known, "a", "b", "c") == ["a", "c"]


def test_what_is_not_there_pushes_out_only_what_is_not_there(known: KnownRecords) -> None:
    known.keep(*tenant("a"))
    for name in ("x", "y", "z"):
        known.keep(*nothing(name))
    assert remembered(known, "a", "x", "y", "z") == ["a", "y", "z"]


def test_what_was_not_there_and_then_is_counts_once(known: KnownRecords) -> None:
    known.keep(*nothing("a"))
    reference, found = tenant("a")
    known.keep(reference, found)
    assert known.get(reference) is found
    known.keep(*nothing("a"))
    assert known.get(reference) == KnownRecord(None, 0.0)
    known.forget(reference)
    assert known.get(reference) is None


def test_all_may_have_changed(known: KnownRecords) -> None:
    known.keep(*tenant("a"))
    known.keep(*nothing("x"))
    known.distrust()
    assert [known.get(Reference("tenant", name)).is_stale for name in ("a", "x")] == [True, True]  # type: ignore[union-attr]
