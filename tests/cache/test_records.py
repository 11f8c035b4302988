"""The ledger's records are read as they were written, whatever ids they hold, and those of older versions too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.cache.records import acceptance_field, acceptance_value, parse_acceptance, parse_hour

PARTS = st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1, max_size=20)
KINDS = st.sampled_from(["accepted", "duplicates", "dead"])


@given(PARTS, PARTS, PARTS, st.sampled_from(["p", "c", "u"]), st.integers(0, 2**41))
def test_an_acceptance_is_read_as_it_was_written(
    tenant: str, event: str, token: str, mark: str, milliseconds: int
) -> None:
    field = acceptance_field(tenant, event, token)
    value = acceptance_value(mark, milliseconds / 1000)  # type: ignore[arg-type]
    read = parse_acceptance(field.encode(), value.encode())
    assert (read.tenant_id, read.event_id, read.token) == (tenant, event, token)
    assert (read.received_at, read.field) == (milliseconds / 1000, field)


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=20), PARTS)
def test_an_entry_with_line_feeds_from_an_older_version_is_read_and_keeps_its_field(ids: str, token: str) -> None:
    field = f"t1\n{ids}\n{token}"
    read = parse_acceptance(field, "c1700000000000")
    assert (read.tenant_id, read.token, read.field) == ("t1", token, field)


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=20), KINDS, st.integers(1, 10**9))
def test_an_hour_is_read_whatever_its_tenants_are_called(tenant: str, kind: str, number: int) -> None:
    (read,) = parse_hour([(f"{tenant}\n{kind}".encode(), str(number).encode())]).values()
    assert read.both.accepted + read.both.duplicates + read.both.dead_letters == number
