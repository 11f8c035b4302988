"""What the pipeline adds to an event, and what stays the same over retries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.enrichment import Enriched, Origin, enrich, partition_key, payload_hash
from cloudscale.events.types import EventTypes

RECEIVED = datetime(2026, 3, 1, 10, 0, 0, 17, tzinfo=UTC)
EVENT = {"eventType": "page_view", "tenantId": "acme", "url": "u"}


def enriched(
    event: dict[str, Any],
    *,
    key: str | None = None,
    traceparent: str | None = None,
    source_id: str | None = None,
    received: datetime = RECEIVED,
    buckets: int = 1,
) -> Enriched:
    origin = Origin("192.0.2.1", "c-1", received, key, traceparent, source_id)
    return enrich(event, EventTypes().check(event), origin, buckets=buckets)


JSON_OBJECTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
        lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    ),
    max_size=5,
)


@given(JSON_OBJECTS, st.randoms())
def test_the_hash_does_not_depend_on_the_order_of_keys(event: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            members = [(name, shuffled(each)) for name, each in value.items()]
            random.shuffle(members)
            return dict(members)
        return [shuffled(each) for each in value] if isinstance(value, list) else value

    assert payload_hash(shuffled(event)) == payload_hash(event)


@given(JSON_OBJECTS, JSON_OBJECTS)
def test_different_payloads_have_different_hashes(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (payload_hash(one) == payload_hash(other)) == same


def test_the_hash_covers_only_what_the_client_sent() -> None:
    first, second = enriched(EVENT), enriched(EVENT)

    assert first.payload_hash == second.payload_hash == payload_hash(EVENT)
    assert len(first.payload_hash) == 32
    assert first.document["acceptance"] != second.document["acceptance"]


def test_an_event_gets_all_that_a_document_needs() -> None:
    event = enriched({**EVENT, "extra": {"kept": True}})
    acceptance = event.document["acceptance"]

    assert msgspec.json.decode(event.body) == event.document
    assert event.document == {
        **EVENT,
        "extra": {"kept": True},
        "id": event.event_id,
        "eventId": event.event_id,
        "partitionKey": "acme:2026-03",
        "correlationId": "c-1",
        "createdAt": "2026-03-01T10:00:00.000017Z",
        "receivedAt": "2026-03-01T10:00:00.000017Z",
        "clientAddress": "192.0.2.1",
        "payloadHash": payload_hash({**EVENT, "extra": {"kept": True}}),
        "schemaVersion": 1,
        "metadata": {},
        "acceptance": acceptance,
    }
    assert event.field == f"acme\n{event.event_id}\n{acceptance}"
    assert event.received_hour == "2026-03-01T10"


def test_what_the_client_says_of_its_event_stands() -> None:
    own = {"eventId": "e", "correlationId": "mine", "createdAt": "2025-12-31T23:30:00-01:00", "metadata": {"a": 1}}

    document = enriched({**EVENT, **own, "schemaVersion": 4}).document

    assert (document["id"], document["correlationId"]) == ("e", "mine")
    assert (document["createdAt"], document["partitionKey"]) == ("2026-01-01T00:30:00.000000Z", "acme:2026-01")
    assert (document["schemaVersion"], document["metadata"]) == (4, {"a": 1})


def test_an_id_is_derived_from_the_idempotency_key_and_its_tenant() -> None:
    first, retry = enriched(EVENT, key="k"), enriched(EVENT, key="k")
    other = enriched({**EVENT, "tenantId": "other"}, key="k")

    assert first.event_id == retry.event_id != other.event_id
    assert len(first.event_id) == 32


def test_without_key_and_id_every_event_is_a_new_one() -> None:
    assert enriched(EVENT).event_id != enriched(EVENT).event_id


@pytest.mark.parametrize(
    ("key", "source_id", "expected"),
    [
        (None, None, ("acme:e:e",)),
        ("k", None, ("acme:e:e", "acme:k:k")),
        (None, "s", ("acme:e:e", "acme:s:s")),
        ("k", "s", ("acme:e:e", "acme:k:k", "acme:s:s")),
    ],
)
def test_an_event_has_a_name_for_all_that_a_client_may_call_it(
    key: str | None, source_id: str | None, expected: tuple[str, ...]
) -> None:
    assert enriched({**EVENT, "eventId": "e"}, key=key, source_id=source_id).names == expected


def test_an_event_without_an_id_is_also_named_by_the_id_that_its_client_is_told() -> None:
    event = enriched(EVENT, key="k")

    assert event.names == (f"acme:e:{event.event_id}", "acme:k:k")


TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
NAMES = st.tuples(
    TENANTS, VISIBLE.filter(lambda text: not set(text) & set("/\\?#") and text not in (".", "..")), VISIBLE, VISIBLE
)


@given(NAMES, NAMES)
def test_names_of_different_tenants_and_kinds_never_meet(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    (first, *of_first), (second, *of_second) = one, other
    names = [
        enriched({**EVENT, "tenantId": tenant, "eventId": event_id}, key=key, source_id=source_id).names
        for tenant, event_id, key, source_id in (one, other)
    ]

    for kind, name in enumerate(names[0]):
        for other_kind, other_name in enumerate(names[1]):
            is_same = kind == other_kind and (first, of_first[kind]) == (second, of_second[kind])
            assert (name == other_name) == is_same


@pytest.mark.parametrize(
    ("received", "neighbour"),
    [
        ("2026-03-31T23:59:59.999999+00:00", "acme:2026-04"),
        ("2026-03-31T00:00:00.000001+00:00", "acme:2026-04"),
        ("2026-03-30T23:59:59+00:00", None),
        ("2026-04-01T00:00:00+00:00", "acme:2026-03"),
        ("2026-04-01T23:59:59+00:00", "acme:2026-03"),
        ("2026-04-02T00:00:00+00:00", None),
        ("2026-12-31T12:00:00+00:00", "acme:2027-01"),
        ("2028-02-28T12:00:00+00:00", None),
        ("2027-02-28T12:00:00+00:00", "acme:2027-03"),
        ("2026-04-01T01:00:00+02:00", "acme:2026-04"),
    ],
)
def test_on_the_days_beside_a_months_end_an_event_carries_the_partition_of_the_month_beside(
    received: str, neighbour: str | None
) -> None:
    event = enriched({**EVENT, "eventId": "e"}, received=datetime.fromisoformat(received))

    assert event.document.get("neighbourPartition") == neighbour


def test_the_partition_beside_has_the_bucket_of_the_event() -> None:
    event = enriched({**EVENT, "eventId": "e"}, buckets=5)

    assert event.document["neighbourPartition"] == partition_key(
        "acme", "2026-02-28T10:00:00Z", event_id="e", buckets=5
    )


@pytest.mark.parametrize("own", [{"createdAt": "2026-03-01T00:00:00Z", "eventId": "e"}, {}])
def test_an_event_with_a_time_of_its_own_or_without_a_name_has_no_other_attempt_to_look_for(
    own: dict[str, str],
) -> None:
    assert "neighbourPartition" not in enriched({**EVENT, **own}).document


def test_a_trace_is_carried_on() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    assert enriched(EVENT, traceparent=traceparent).document["traceparent"] == traceparent
    assert "traceparent" not in enriched(EVENT).document


def test_a_partition_is_a_tenant_and_a_month() -> None:
    assert partition_key("acme", "1997-02-28T23:59:59.999999Z", event_id="e", buckets=1) == "acme:1997-02"


@given(st.text(min_size=1, max_size=20), st.integers(min_value=2, max_value=50))
def test_a_bucket_depends_on_the_event_id_alone(event_id: str, buckets: int) -> None:
    keys = {partition_key("a", "2026-01-01T00:00:00.000000Z", event_id=event_id, buckets=buckets) for _ in range(2)}

    assert len(keys) == 1
    tenant, month, bucket = keys.pop().split(":")
    assert (tenant, month) == ("a", "2026-01")
    assert 0 <= int(bucket) < buckets


def test_buckets_are_filled_evenly() -> None:
    counts = [0] * 8
    for number in range(8000):
        key = partition_key("a", "2026-01-01T00:00:00.000000Z", event_id=f"event-{number}", buckets=8)
        counts[int(key.rpartition(":")[2])] += 1

    assert min(counts) > 800
