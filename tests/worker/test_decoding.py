from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.types import EventTypes
from cloudscale.queue.poison import DeadLetterReason
from cloudscale.worker.decoding import Decoded, UndecodableMessageError, decode

validate = EventTypes().problem_of

GOOD = {
    "id": "e1",
    "eventId": "e1",
    "partitionKey": "t1:2024-05",
    "eventType": "page_view",
    "tenantId": "t1",
    "url": "https://shop.example/",
    "payloadHash": "h",
    "acceptance": "a",
    "correlationId": "c",
    "createdAt": "2024-05-01T10:00:00Z",
    "receivedAt": "2024-05-01T10:00:00Z",
    "clientAddress": "192.0.2.1",
}
CHECK = {
    "eventType": "check_cart_status",
    "tenantId": "t1",
    "userId": "u1",
    "cartEventId": "e1",
    "since": "2024-05-01T10:00:00Z",
    "correlationId": "c",
}


def decoded(*events: object) -> Decoded:
    into = Decoded()
    decode(msgspec.json.encode(events), validate, into)
    return into


def test_good_events_are_kept_with_fields_that_no_type_knows() -> None:
    result = decoded({**GOOD, "colour": "red"})
    assert result.documents == [{**GOOD, "colour": "red"}]
    assert result.accepted[0].id == "e1"
    assert result.poison == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (7, DeadLetterReason.DESERIALIZATION_FAILED),
        ([], DeadLetterReason.DESERIALIZATION_FAILED),
        ({**GOOD, "eventType": ""}, DeadLetterReason.MISSING_EVENT_TYPE),
        ({**GOOD, "eventType": 7}, DeadLetterReason.MISSING_EVENT_TYPE),
        ({}, DeadLetterReason.MISSING_EVENT_TYPE),
        ({**GOOD, "eventType": "teleport"}, DeadLetterReason.UNKNOWN_EVENT_TYPE),
        ({**GOOD, "url": None}, DeadLetterReason.VALIDATION_FAILED),
        ({**GOOD, "tenantId": "../x"}, DeadLetterReason.VALIDATION_FAILED),
        ({**GOOD, "receivedAt": "yesterday"}, DeadLetterReason.VALIDATION_FAILED),
        ({name: value for name, value in GOOD.items() if name != "id"}, DeadLetterReason.VALIDATION_FAILED),
        ({**CHECK, "since": None}, DeadLetterReason.VALIDATION_FAILED),
    ],
)
def test_a_bad_event_has_its_reason_and_leaves_its_neighbours_alone(event: object, reason: DeadLetterReason) -> None:
    result = decoded(GOOD, event, GOOD, CHECK)
    assert [poison.reason for poison in result.poison] == [reason]
    assert result.poison[0].event == event
    assert len(result.documents) == len(result.accepted) == 2
    assert len(result.cart_checks) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"{}", b"7", b"\xff", b'[{"id":"\xff"}]', b"[" * 100_000])
def test_a_body_that_is_no_array_cannot_be_read(body: bytes) -> None:
    with pytest.raises(UndecodableMessageError):
        decode(body, validate, Decoded())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(json_values, max_size=5), st.dictionaries(st.sampled_from(sorted(GOOD)), json_values, max_size=3))
def test_whatever_is_in_a_message_each_event_ends_somewhere(events: list[Any], spoilt: dict[str, Any]) -> None:
    result = decoded(*events, {**GOOD, **spoilt}, GOOD)
    assert len(result.documents) + len(result.poison) + len(result.cart_checks) == len(events) + 2
    assert result.documents[-1] == GOOD
